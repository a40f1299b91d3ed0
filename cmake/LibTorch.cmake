# LibTorch 2.11.0 from the official wheel, as imported targets of our own. Never find_package(Torch): on a CUDA
# wheel it demands nvcc and a toolkit of the same version.
#
#   titan_torch       headers + libtorch_cpu + libc10: all that libtitan.so links
#   titan_torch_cuda  + libtorch_cuda + libc10_cuda: libtitan_cuda.so alone
#
# Order: TITAN_LIBTORCH (variable or environment), an importable Python torch of this version, the cache
# that scripts/setup.sh fills.
set(TITAN_TORCH_VERSION 2.11.0)

function(titan_torch_version root out)
  set(${out} "" PARENT_SCOPE)
  set(header "${root}/include/torch/headeronly/version.h")
  if(NOT EXISTS "${header}")
    set(header "${root}/include/torch/csrc/api/include/torch/version.h")
  endif()
  if(NOT EXISTS "${header}")
    return()
  endif()
  file(STRINGS "${header}" lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  set(parts "")
  foreach(line IN LISTS lines)
    string(REGEX MATCH "[0-9]+$" number "${line}")
    list(APPEND parts "${number}")
  endforeach()
  list(JOIN parts "." version)
  set(${out} "${version}" PARENT_SCOPE)
endfunction()

set(_candidates "")
if(TITAN_LIBTORCH)
  list(APPEND _candidates "${TITAN_LIBTORCH}")
elseif(DEFINED ENV{TITAN_LIBTORCH} AND NOT "$ENV{TITAN_LIBTORCH}" STREQUAL "")
  list(APPEND _candidates "$ENV{TITAN_LIBTORCH}")
else()
  if(DEFINED ENV{TITAN_CACHE} AND NOT "$ENV{TITAN_CACHE}" STREQUAL "")
    set(_cache "$ENV{TITAN_CACHE}")
  else()
    set(_cache "$ENV{HOME}/.cache/titan")
  endif()
  execute_process(
    COMMAND python3 -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
    OUTPUT_VARIABLE _python_torch OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  list(APPEND _candidates ${_python_torch} "${_cache}/libtorch-${TITAN_TORCH_VERSION}/torch")
endif()

set(TITAN_TORCH_ROOT "")
foreach(_root IN LISTS _candidates)
  titan_torch_version("${_root}" _version)
  if(_version STREQUAL TITAN_TORCH_VERSION AND EXISTS "${_root}/lib/libtorch_cpu.so")
    set(TITAN_TORCH_ROOT "${_root}")
    break()
  endif()
endforeach()
if(NOT TITAN_TORCH_ROOT)
  list(JOIN _candidates "\n  " _shown)
  message(FATAL_ERROR "LibTorch ${TITAN_TORCH_VERSION} was not found. Looked in:\n  ${_shown}\n"
    "Run scripts/setup.sh, or set TITAN_LIBTORCH to a folder that holds lib/libtorch_cpu.so.")
endif()
message(STATUS "LibTorch ${TITAN_TORCH_VERSION}: ${TITAN_TORCH_ROOT}")

foreach(_lib c10 torch_cpu c10_cuda torch_cuda)
  if(EXISTS "${TITAN_TORCH_ROOT}/lib/lib${_lib}.so")
    add_library(titan_wheel_${_lib} SHARED IMPORTED GLOBAL)
    set_target_properties(titan_wheel_${_lib} PROPERTIES
      IMPORTED_LOCATION "${TITAN_TORCH_ROOT}/lib/lib${_lib}.so")
  endif()
endforeach()

# The wheel's own libraries find what they need by their relative RPATH; the linker need not see it.
add_library(titan_torch INTERFACE)
target_include_directories(titan_torch SYSTEM INTERFACE
  $<BUILD_INTERFACE:${TITAN_TORCH_ROOT}/include>
  $<BUILD_INTERFACE:${TITAN_TORCH_ROOT}/include/torch/csrc/api/include>)
target_compile_definitions(titan_torch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO AT_PER_OPERATOR_HEADERS)
target_link_libraries(titan_torch INTERFACE titan_wheel_torch_cpu titan_wheel_c10)
target_link_options(titan_torch INTERFACE "LINKER:--allow-shlib-undefined")
