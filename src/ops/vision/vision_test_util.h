// What the vision family's tests share: operands of any type from plain numbers, and one run of an
// operator's reference.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "ops/kernel_test_util.h"

namespace fusee::ops {

// values as a tensor of this type, each rounded to it.
inline Tensor Numbers(DType dtype, const Shape& shape, const std::vector<double>& values) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  EXPECT_EQ(view.elements(), static_cast<int64_t>(values.size()));
  for (size_t i = 0; i < values.size(); ++i) StoreDouble(view, static_cast<int64_t>(i), values[i]);
  return tensor;
}

inline std::vector<double> ToNumbers(const Tensor& tensor) {
  std::vector<double> values(static_cast<size_t>(tensor.elements()));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = DoubleAt(tensor.view(), static_cast<int64_t>(i));
  return values;
}

// Result 0 of the operator's reference; empty, and a failed test, when it refuses.
inline std::vector<double> RunOnce(const KernelCall& call) {
  const auto got = RunKernel(KernelsFor(call.op).back()->id, call);
  EXPECT_TRUE(got.ok()) << call.op << ": " << got.status().ToString();
  return got.ok() ? ToNumbers((*got)[0]) : std::vector<double>();
}

// The code with which the reference refuses the call, kOk when it runs.
inline StatusCode RunCode(const KernelCall& call) {
  return RunKernel(KernelsFor(call.op).back()->id, call).status().code();
}

}  // namespace fusee::ops
