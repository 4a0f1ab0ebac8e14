// Damaged ONNX models for fuzzers and tests: a function of (model, seed), the same on every
// machine.
//
// Blind damage changes bytes and so mostly ends in the wire reader. Structure-aware damage takes
// the model apart into messages and fields, changes what the reader accepts but the importer, the
// passes and the kernels have to survive, and writes it out whole: attributes (values, types,
// absent, twice), dimensions, wires (another value, none, a cycle), element types, lengths of raw
// data, operators, opsets, nodes and initialisers (gone, twice, elsewhere).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fusee::onnx {

// Flips bits, overwrites, cuts, repeats: one to four times.
std::string MutateBytes(std::string_view model, uint64_t seed);

// One to four structure-aware changes. Bytes that are no protobuf come back blindly mutated.
// Cost: linear in the model.
std::string MutateModel(std::string_view model, uint64_t seed);

// For LLVMFuzzerCustomMutator: MutateModel mostly, MutateBytes at times; in place, at most max_size
// bytes. An empty input becomes a small model. Returns the new size.
size_t MutateForFuzzer(uint8_t* data, size_t size, size_t max_size, uint32_t seed);

}  // namespace fusee::onnx
