# One function per kind of source: a folder's CMakeLists.txt lists its files and nothing else.
#
#   titan_sources(a.cpp ...)         files that include torch: compiled with the precompiled header
#   titan_plain_sources(a.cpp ...)   files that must never see torch (base, config, io, kernels)

# Made now: ccache writes an include folder that does not exist yet differently, and would then miss.
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/generated)

find_program(TITAN_CCACHE ccache)
if(TITAN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # pch_defines,time_macros: without them ccache refuses every file that uses a precompiled header.
  set(_launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${TITAN_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${_launcher})
  set(CMAKE_C_COMPILER_LAUNCHER ${_launcher})
endif()

# A torch file needs about 1 GB to compile: parallel jobs are capped by memory.
cmake_host_system_information(RESULT _memory_mib QUERY TOTAL_PHYSICAL_MEMORY)
cmake_host_system_information(RESULT _cores QUERY NUMBER_OF_LOGICAL_CORES)
math(EXPR _jobs "${_memory_mib} / 2048")
if(_jobs LESS 1)
  set(_jobs 1)
elseif(_jobs GREATER _cores)
  set(_jobs ${_cores})
endif()
set_property(GLOBAL APPEND PROPERTY JOB_POOLS titan_torch_pool=${_jobs})

# Flags every target of ours gets. NDEBUG in every preset: LibTorch's classes change layout without it.
add_library(titan_flags INTERFACE)
target_compile_definitions(titan_flags INTERFACE NDEBUG)
# -Wrestrict: false alarms of g++ 12 on std::string's operator+.
set(_warnings -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wno-restrict
  $<$<BOOL:${TITAN_WERROR}>:-Werror>)
target_compile_options(titan_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:C,CXX>:${_warnings}>"
  $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>
  "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-fopenmp;--expt-relaxed-constexpr>")
# Record only the libraries that are used: they are searched at every start and travel in a bundle.
target_link_options(titan_flags INTERFACE "LINKER:--as-needed")
if(TITAN_SANITIZE)
  target_compile_options(titan_flags INTERFACE -fsanitize=${TITAN_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(titan_flags INTERFACE -fsanitize=${TITAN_SANITIZE})
  target_compile_definitions(titan_flags INTERFACE TITAN_ENABLE_DCHECK)
endif()

add_library(titan_plain_usage INTERFACE)
target_link_libraries(titan_plain_usage INTERFACE titan_flags absl::status absl::statusor PkgConfig::GLOG
  PkgConfig::XXHASH PkgConfig::WEBP PkgConfig::ARCHIVE PkgConfig::CURL PkgConfig::CRYPTO PkgConfig::ZSTD PkgConfig::EXPAT
  PkgConfig::UTF8PROC JPEG::JPEG PNG::PNG protobuf::libprotobuf Threads::Threads)
target_include_directories(titan_plain_usage INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
target_include_directories(titan_plain_usage SYSTEM INTERFACE ${TITAN_TOMLPLUSPLUS_INCLUDE} ${TITAN_JSON_INCLUDE})
add_library(titan_plain_objects OBJECT)
target_link_libraries(titan_plain_objects PRIVATE titan_plain_usage)
target_include_directories(titan_plain_objects SYSTEM PRIVATE
  $<TARGET_PROPERTY:titan_nanoarrow,INTERFACE_INCLUDE_DIRECTORIES>)

add_library(titan_torch_usage INTERFACE)
target_link_libraries(titan_torch_usage INTERFACE titan_plain_usage titan_torch)
add_library(titan_torch_objects OBJECT)
target_link_libraries(titan_torch_objects PRIVATE titan_torch_usage)
target_precompile_headers(titan_torch_objects PRIVATE ${PROJECT_SOURCE_DIR}/cmake/torch_pch.h)
set_target_properties(titan_torch_objects PROPERTIES JOB_POOL_COMPILE titan_torch_pool)

function(titan_sources)
  list(TRANSFORM ARGV PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  target_sources(titan_torch_objects PRIVATE ${ARGV})
endfunction()

function(titan_plain_sources)
  list(TRANSFORM ARGV PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  target_sources(titan_plain_objects PRIVATE ${ARGV})
endfunction()

set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS cmake/unity_batches.py)

# TITAN_UNITY: a dozen files of a folder are compiled as one. Most of a torch file's time goes into templates of
# LibTorch's headers, once per compilation (docs/results/build_time.md). unity_batches.py makes the batches; CMake
# itself leaves out a file that has flags of its own. A file that fits into none for a reason the script cannot see
# takes SKIP_UNITY_BUILD_INCLUSION.
#
#   titan_unity(TARGET)   called once, after the target has all its files
function(titan_unity target)
  if(NOT TITAN_UNITY)
    return()
  endif()
  get_target_property(files ${target} SOURCES)
  get_target_property(folder ${target} SOURCE_DIR)
  list(FILTER files INCLUDE REGEX "\\.cpp$")
  set(paths "")
  foreach(file IN LISTS files)
    get_filename_component(path ${file} ABSOLUTE BASE_DIR ${folder})
    file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${path})
    list(APPEND paths ${path})
  endforeach()
  execute_process(COMMAND python3 ${PROJECT_SOURCE_DIR}/cmake/unity_batches.py 12 ${paths}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE batches OUTPUT_STRIP_TRAILING_WHITESPACE
    COMMAND_ERROR_IS_FATAL ANY)
  foreach(file batch IN ZIP_LISTS files batches)
    set_property(SOURCE ${file} TARGET_DIRECTORY ${target} PROPERTY UNITY_GROUP ${target}_${batch})
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
endfunction()

# titan_torch_program(TARGET): an executable whose files include torch takes the library's precompiled header. -fPIC as
# there, not an executable's -fPIE: g++ ignores the header where the two differ.
function(titan_torch_program target)
  target_link_libraries(${target} PRIVATE titan_torch_usage titan)
  target_precompile_headers(${target} REUSE_FROM titan_torch_objects)
  target_compile_options(${target} PRIVATE -fPIC)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF JOB_POOL_COMPILE titan_torch_pool)
endfunction()
