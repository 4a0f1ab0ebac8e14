// Bytes to plan. Bytes are untrusted: whatever they are, the answer is a plan that passed every
// check, or an error that says what is wrong where, in time and memory proportional to the bytes;
// never a crash.
//
// Order of trust: header digest, header fields, section table, section digests and zero padding,
// FlatBuffers' own verifier, field conversion with limits, structural verifier (verify.h). Each
// step reads only what the ones before it have accepted, so a flipped bit or a cut anywhere is
// refused before anything in the plan is used.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "base/status.h"
#include "plan/header.h"
#include "plan/plan.h"

namespace fusee::plan {

// Reads the header alone, from the first kHeaderBytes of a plan (more are ignored).
//   file_bytes  the whole file's size where known: a truncated or extended file is then refused
//   here already.
// Errors: kDataLoss (too short, damaged), kInvalidArgument (not a plan), kFailedPrecondition (needs
// a newer reader). Thread-safe.
Result<Header> ReadHeader(std::span<const std::byte> prefix,
                          std::optional<uint64_t> file_bytes = std::nullopt);

// Runs task(context, i) for each i in [0, count), in any order, perhaps at once. How the caller
// lends its threads to the digest check without this room knowing of threads.
struct TaskRunner {
  void (*run)(void* self, int64_t count, void (*task)(void*, int64_t), void* context) = nullptr;
  void* self = nullptr;
};

// Decodes and verifies a whole plan.
//   bytes   the file, complete; the weights of the result point into it
//   owner   keeps bytes alive; the plan shares it. Null: the caller guarantees it.
//   runner  optional threads for the digests; the result does not depend on it.
// Errors: as ReadHeader, and kDataLoss (a digest or padding differs), kInvalidArgument (well-formed
// but not a valid plan), kFailedPrecondition (an unknown required section). Weights keep bytes'
// alignment: 64-byte aligned only if bytes is. Cost: SHA-256 over all bytes; everything but the
// weights is copied. Thread-safe.
Result<std::shared_ptr<const Plan>> Decode(std::span<const std::byte> bytes,
                                           std::shared_ptr<const void> owner,
                                           TaskRunner runner = {});

}  // namespace fusee::plan
