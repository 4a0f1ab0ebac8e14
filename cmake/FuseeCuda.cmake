# The CUDA module, libfusee_cuda.so: src/cuda/ and every *_cuda.cu / *_cuda.cc below src/ops/.
#
# FUSEE_CUDA: AUTO (default) builds it when a CUDA toolkit is found, ON insists, OFF does not look.
# It compiles on a machine without a GPU. The CUDA runtime is linked statically, the driver is found by it at run time,
# cuBLASLt and cuDNN are opened at run time (src/cuda/libraries.h), so the module needs no CUDA library to load.
#
# FUSEE_CUDA_ARCHITECTURES: sm_75 is the floor; sm_80 and sm_90a are tuned; the last one's PTX is not kept, because a
# plan is made for a device that this build has machine code for.
set(FUSEE_CUDA_ARCHITECTURES "75-real;80-real;90a-real" CACHE STRING "GPU architectures of libfusee_cuda.so")

if(FUSEE_CUDA STREQUAL "OFF")
  return()
endif()
find_program(FUSEE_NVCC nvcc HINTS /usr/local/cuda/bin)
if(NOT FUSEE_NVCC)
  if(FUSEE_CUDA STREQUAL "AUTO")
    message(STATUS "CUDA module: not built, no nvcc found")
    return()
  endif()
  message(FATAL_ERROR "FUSEE_CUDA=ON, but no nvcc was found; install the CUDA toolkit or set CMAKE_CUDA_COMPILER")
endif()
set(CMAKE_CUDA_COMPILER "${FUSEE_NVCC}")
set(CMAKE_CUDA_ARCHITECTURES "${FUSEE_CUDA_ARCHITECTURES}")
if(CCACHE_PROGRAM)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()
enable_language(CUDA)
# CMake 3.25 on Debian 12 does not know that nvcc has spoken C++20 since 12.0.
if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_STANDARD 20)
set(FUSEE_HAVE_CUDA TRUE)
message(STATUS "CUDA module: ${FUSEE_NVCC}, ${FUSEE_CUDA_ARCHITECTURES}")
