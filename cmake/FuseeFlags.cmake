# Compiler settings that hold for every target. Determinism is a promise of the product, so the ones that
# change floating-point results stand here, once, and no target may add its own.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# -ffp-contract=off: a compiler may otherwise fuse a*b+c on one target and not on another, which changes bits.
# Of C and C++ only: nvcc, which has other spellings, gets its flags in src/cuda/CMakeLists.txt.
set(fusee_host_flags -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -ffp-contract=off
    -fno-math-errno -fno-trapping-math -march=x86-64-v2 "-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND fusee_host_flags -Wno-psabi)
endif()
add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:${fusee_host_flags}>")
if(FUSEE_SANITIZE)
  add_compile_options(-fsanitize=${FUSEE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${FUSEE_SANITIZE})
endif()
if(FUSEE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths below the source folder count relative to it, so that a second clone finds what the first one compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}" CCACHE_NOHASHDIR=1
      ${CCACHE_PROGRAM})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()
