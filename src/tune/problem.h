// What the tuner is asked: one step at exact shapes, and the ways to run it. Steps that ask the
// same share one measurement, in a build and, through the timing cache, between builds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ops/kernel.h"
#include "tensor/attrs.h"

namespace fusee::tune {

// Constants as one family of kernels wants them; empty: as they are.
using Packing = std::vector<ops::PackedConstant>;

// A kernel with one of its configurations.
struct Candidate {
  const ops::KernelDef* kernel = nullptr;
  size_t packing = 0;  // index into Problem::packings
  std::string name;    // the configuration's, for reports; empty: the kernel's default
  std::vector<std::byte> config;
};

// Borrows attrs and the bytes of constants. Values of other operands are made up.
struct Problem {
  std::string op;
  const Attrs* attrs = nullptr;
  std::vector<ops::TensorSpec> inputs, outputs;          // is_static, before any packing
  std::vector<int64_t> dims;                             // RunArgs::dims
  std::vector<std::shared_ptr<const Packing>> packings;  // none is null
  std::vector<Candidate> candidates;                     // in the order that decides near ties
};

// Equal text: the same work. Operator, attributes, dtypes and shapes; of constants also that they
// are constant, and the values of small ones, because kernels look at those. One line.
std::string Signature(const Problem& problem);

// "matmul_cuda.1", or with a configuration "matmul_cuda.1#<16 hexadecimal digits of its SHA-256>".
std::string KeyOf(const Candidate& candidate);

// The step as a candidate binds it; borrows specs, the problem and the candidate.
ops::StepSpec SpecFor(const Problem& problem, const Candidate& candidate,
                      std::vector<ops::TensorSpec>* inputs);

}  // namespace fusee::tune
