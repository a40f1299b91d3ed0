# `cmake --install`: headers, libtitan.so (and libtitan_cuda.so), the programs, and what find_package(titan) needs.
include(CMakePackageConfigHelpers)

set(_config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/titan)
set(_libraries titan)
if(TARGET titan_cuda)
  list(APPEND _libraries titan_cuda)
endif()
if(TARGET titan_sentencepiece)
  list(APPEND _libraries titan_sentencepiece)
endif()
set(_programs "")
get_property(_targets DIRECTORY ${PROJECT_SOURCE_DIR}/titan/tools PROPERTY BUILDSYSTEM_TARGETS)
foreach(_target IN LISTS _targets)
  get_target_property(_type ${_target} TYPE)
  if(_type STREQUAL "EXECUTABLE")
    list(APPEND _programs ${_target})
  endif()
endforeach()
# What run_train.sh builds: libtitan_cuda.so too, which no program links.
add_custom_target(programs DEPENDS ${_programs} ${_libraries})

# LD_LIBRARY_PATH comes before these, so a bundle carried elsewhere finds the LibTorch of that machine.
set_target_properties(${_libraries} PROPERTIES INSTALL_RPATH
  "$ORIGIN;${TITAN_TORCH_ROOT}/lib;${TITAN_TORCH_ROOT}/../nvidia/cu13/lib")
install(TARGETS ${_libraries} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(_programs)
  set_target_properties(${_programs} PROPERTIES
    INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR};${TITAN_TORCH_ROOT}/lib")
  install(TARGETS ${_programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
# The public headers: titan/titan.h, what it includes, and what that includes. Found when installing, so no list drifts.
install(CODE "set(TITAN_SOURCE \"${PROJECT_SOURCE_DIR}\")
set(TITAN_INCLUDE \"${CMAKE_INSTALL_INCLUDEDIR}\")")
install(SCRIPT ${PROJECT_SOURCE_DIR}/cmake/install_headers.cmake)
install(PROGRAMS ${PROJECT_SOURCE_DIR}/scripts/wandb_sidecar.py DESTINATION ${CMAKE_INSTALL_DATADIR}/titan/scripts)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/train_configs DESTINATION ${CMAKE_INSTALL_DATADIR}/titan OPTIONAL)

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/titanConfig.cmake.in
  ${PROJECT_BINARY_DIR}/titanConfig.cmake INSTALL_DESTINATION ${_config_dir}
  PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/titanConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)  # before 1.0 a minor version may break programs
install(FILES ${PROJECT_BINARY_DIR}/titanConfig.cmake ${PROJECT_BINARY_DIR}/titanConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/find_libtorch.cmake DESTINATION ${_config_dir})
