# libtitan_cuda.so: everything that needs CUDA (kernels, NCCL, graphs, memory pools) in one library of its own.
# libtitan.so loads it at run time where a driver and a device exist, so one build serves both kinds of machine
# and no executable links it.
#
#   titan_cuda_sources(a.cpp b.cu ...)   adds a folder's CUDA files; does nothing where CUDA is not built
#   TITAN_CUDA_ENABLED                   whether the library is built; TITAN_CUDA=AUTO|ON|OFF decides
set(TITAN_NCCL_VERSION 2.28.9)  # The struct layouts of ProcessGroupNCCL depend on it: exactly LibTorch's.

function(titan_nccl_version include_dir out)
  set(${out} "" PARENT_SCOPE)
  if(NOT EXISTS "${include_dir}/nccl.h")
    return()
  endif()
  file(STRINGS "${include_dir}/nccl.h" lines REGEX "define NCCL_(MAJOR|MINOR|PATCH) ")
  string(REGEX MATCHALL "[0-9]+" parts "${lines}")
  list(JOIN parts "." version)
  set(${out} "${version}" PARENT_SCOPE)
endfunction()

# Says in _reason why the library cannot be built, or leaves it empty.
macro(titan_probe_cuda)
  set(_reason "")
  # Last the compiler that `scripts/setup.sh --with-nvcc` puts beside LibTorch.
  find_program(TITAN_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin ${TITAN_TORCH_ROOT}/../nvidia/cu13/bin)
  if(NOT TITAN_NVCC)
    set(_reason "nvcc was not found")
  elseif(NOT TARGET titan_wheel_torch_cuda)
    set(_reason "this LibTorch has no libtorch_cuda.so")
  else()
    execute_process(COMMAND ${TITAN_NVCC} --version OUTPUT_VARIABLE _nvcc_says ERROR_QUIET)
    string(REGEX MATCH "release ([0-9]+)\\.([0-9]+)" _ "${_nvcc_says}")
    if(NOT CMAKE_MATCH_1 EQUAL 13)
      set(_reason "nvcc is ${CMAKE_MATCH_1}.${CMAKE_MATCH_2}, LibTorch needs CUDA 13")
    endif()
  endif()
  if(NOT _reason)
    get_filename_component(_toolkit "${TITAN_NVCC}" REALPATH)
    get_filename_component(_toolkit "${_toolkit}/../.." ABSOLUTE)
    set(TITAN_NCCL_INCLUDE "")
    foreach(_dir "${_toolkit}/include" "${TITAN_TORCH_ROOT}/../nvidia/nccl/include" /usr/include)
      titan_nccl_version("${_dir}" _nccl)
      if(_nccl STREQUAL TITAN_NCCL_VERSION)
        set(TITAN_NCCL_INCLUDE "${_dir}")
        break()
      endif()
    endforeach()
    if(NOT TITAN_NCCL_INCLUDE)
      set(_reason "nccl.h ${TITAN_NCCL_VERSION} was not found")
    endif()
  endif()
endmacro()

set(TITAN_CUDA_ENABLED OFF)
if(TITAN_CUDA)
  titan_probe_cuda()
  if(NOT _reason)
    set(TITAN_CUDA_ENABLED ON)
  elseif(NOT TITAN_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "TITAN_CUDA=${TITAN_CUDA}, but libtitan_cuda.so cannot be built: ${_reason}")
  endif()
else()
  set(_reason "TITAN_CUDA=${TITAN_CUDA}")
endif()

if(TITAN_CUDA_ENABLED)
  message(STATUS "CUDA library: built with ${TITAN_NVCC}")
  set(CMAKE_CUDA_COMPILER "${TITAN_NVCC}")
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)  # One CUDA runtime in the process: the one LibTorch has loaded.
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 90)  # sm_90 code, and compute_90 PTX for what comes after.
  endif()
  if(CMAKE_CXX_COMPILER_LAUNCHER AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
  endif()
  enable_language(CUDA)
  if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 has not heard of nvcc's -std=c++20.
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  set(CMAKE_CUDA_STANDARD 20)
else()
  message(STATUS "CUDA library: not built (${_reason})")
endif()

function(titan_cuda_sources)
  if(TITAN_CUDA_ENABLED)
    list(TRANSFORM ARGV PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
    set_property(GLOBAL APPEND PROPERTY TITAN_CUDA_SOURCES ${ARGV})
  endif()
endfunction()

# Called once, after every folder has named its files.
function(titan_add_cuda_library)
  get_property(sources GLOBAL PROPERTY TITAN_CUDA_SOURCES)
  if(NOT sources)
    return()
  endif()
  add_library(titan_cuda SHARED ${sources})
  target_include_directories(titan_cuda SYSTEM PRIVATE
    ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES} ${TITAN_NCCL_INCLUDE})
  # The lowest capability that has code or PTX: "90", "90a", "80-real"; 0 for "native" and the like.
  set(capability 0)
  foreach(architecture IN LISTS CMAKE_CUDA_ARCHITECTURES)
    if(architecture MATCHES "^[0-9]+")
      set(number ${CMAKE_MATCH_0})
      if(capability EQUAL 0 OR number LESS capability)
        set(capability ${number})
      endif()
    endif()
  endforeach()
  target_compile_definitions(titan_cuda PRIVATE USE_C10D_NCCL TITAN_CUDA_CAPABILITY=${capability})
  # c10d's own headers ask for the cache line's size in a public struct.
  target_compile_options(titan_cuda PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wno-interference-size>)
  # Nothing of ours need name a symbol of them, yet loading this library must load them.
  target_link_libraries(titan_cuda PRIVATE
    "-Wl,--no-as-needed" titan_wheel_torch_cuda titan_wheel_c10_cuda "-Wl,--as-needed" titan)
  # Where no toolkit is installed, libcudart.so.13 lies beside LibTorch: a wheel of its own.
  set_target_properties(titan_cuda PROPERTIES BUILD_RPATH "${TITAN_TORCH_ROOT}/../nvidia/cu13/lib")
  target_precompile_headers(titan_cuda REUSE_FROM titan_torch_objects)
  set_target_properties(titan_cuda PROPERTIES JOB_POOL_COMPILE titan_torch_pool)
  titan_unity(titan_cuda)
endfunction()
