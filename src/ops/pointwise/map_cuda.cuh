// One operand, one result, element by element: one thread a pack of 16 bytes of the wider type.
//
// A function is a struct, passed to the kernel by value:
//   struct Fn { __device__ Out operator()(In x) const; };
// What it reads through a pointer (a bound of Clip) is read after WaitForPrior. In and result may
// be the same memory.
#pragma once

#include <algorithm>

#include "cuda/vec.cuh"
#include "ops/kernel.h"

namespace fusee::ops::pointwise {

template <typename In, typename Out>
inline constexpr int kMapPack = static_cast<int>(16 / std::max(sizeof(In), sizeof(Out)));

template <typename Fn, typename In, typename Out>
__global__ void __launch_bounds__(cuda::kElementThreads)
    MapKernel(const In* x, Out* y, int64_t count, bool packed, Fn fn) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  constexpr int kPack = kMapPack<In, Out>;
  const int64_t begin =
      (blockIdx.x * static_cast<int64_t>(cuda::kElementThreads) + threadIdx.x) * kPack;
  if (packed && begin + kPack <= count) {
    const auto in = *reinterpret_cast<const cuda::Vec<In, kPack>*>(x + begin);
    cuda::Vec<Out, kPack> out;
#pragma unroll
    for (int i = 0; i < kPack; ++i) out.value[i] = fn(in.value[i]);
    *reinterpret_cast<cuda::Vec<Out, kPack>*>(y + begin) = out;
    return;
  }
  const int64_t end = begin + kPack < count ? begin + kPack : count;
  for (int64_t i = begin; i < end; ++i) y[i] = fn(x[i]);
}

// y = fn(x) for every element; operand 0 has as many elements as result 0.
template <typename In, typename Out, typename Fn>
Status LaunchMap(const RunArgs& args, Fn fn) {
  constexpr int kPack = kMapPack<In, Out>;
  const auto* x = static_cast<const In*>(args.inputs[0].data);
  auto* y = static_cast<Out*>(args.outputs[0].data);
  const int64_t count = args.outputs[0].elements();
  const bool packed = cuda::IsVecAligned<In, kPack>(x) && cuda::IsVecAligned<Out, kPack>(y);
  return cuda::Launch(&MapKernel<Fn, In, Out>, cuda::BlocksFor((count + kPack - 1) / kPack),
                      dim3(cuda::kElementThreads), 0, args.queue, x, y, count, packed, fn);
}

}  // namespace fusee::ops::pointwise
