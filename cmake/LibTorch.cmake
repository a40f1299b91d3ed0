# LibTorch 2.11.0 from the official wheel, as imported targets of our own. Never find_package(Torch): on a CUDA
# wheel it demands nvcc and a toolkit of the same version.
#
#   titan_torch       headers + libtorch_cpu + libc10: all that libtitan.so links
#   titan_torch_cuda  + libtorch_cuda + libc10_cuda: libtitan_cuda.so alone
include(${CMAKE_CURRENT_LIST_DIR}/find_libtorch.cmake)

foreach(_lib c10 torch_cpu c10_cuda torch_cuda)
  if(EXISTS "${TITAN_TORCH_ROOT}/lib/lib${_lib}.so")
    add_library(titan_wheel_${_lib} SHARED IMPORTED GLOBAL)
    set_target_properties(titan_wheel_${_lib} PROPERTIES
      IMPORTED_LOCATION "${TITAN_TORCH_ROOT}/lib/lib${_lib}.so")
  endif()
endforeach()

# The wheel's own libraries find what they need by their relative RPATH; the linker need not see it.
set(TITAN_TORCH_DEFINITIONS USE_DISTRIBUTED USE_C10D_GLOO AT_PER_OPERATOR_HEADERS)  # also in titanConfig.cmake
add_library(titan_torch INTERFACE)
target_include_directories(titan_torch SYSTEM INTERFACE
  $<BUILD_INTERFACE:${TITAN_TORCH_ROOT}/include>
  $<BUILD_INTERFACE:${TITAN_TORCH_ROOT}/include/torch/csrc/api/include>)
target_compile_definitions(titan_torch INTERFACE ${TITAN_TORCH_DEFINITIONS})
target_link_libraries(titan_torch INTERFACE titan_wheel_torch_cpu titan_wheel_c10)
target_link_options(titan_torch INTERFACE "LINKER:--allow-shlib-undefined")
