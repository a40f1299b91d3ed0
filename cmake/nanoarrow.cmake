# nanoarrow (Apache Arrow's small C library: reading and writing Arrow IPC) and flatcc's runtime, built into libtitan.so
# from the sources that scripts/setup.sh fetches. Order: TITAN_NANOARROW (variable or environment), the cache.
set(TITAN_NANOARROW_VERSION 0.9.0)
set(TITAN_NANOARROW "" CACHE PATH "Sources of nanoarrow ${TITAN_NANOARROW_VERSION} as scripts/fetch_sources.py lays them out")

if(TITAN_NANOARROW)
  set(_root "${TITAN_NANOARROW}")
elseif(DEFINED ENV{TITAN_NANOARROW} AND NOT "$ENV{TITAN_NANOARROW}" STREQUAL "")
  set(_root "$ENV{TITAN_NANOARROW}")
elseif(DEFINED ENV{TITAN_CACHE} AND NOT "$ENV{TITAN_CACHE}" STREQUAL "")
  set(_root "$ENV{TITAN_CACHE}/nanoarrow-${TITAN_NANOARROW_VERSION}")
else()
  set(_root "$ENV{HOME}/.cache/titan/nanoarrow-${TITAN_NANOARROW_VERSION}")
endif()
if(NOT EXISTS "${_root}/nanoarrow/ipc/decoder.c" OR NOT EXISTS "${_root}/flatcc/runtime/verifier.c")
  message(FATAL_ERROR "nanoarrow ${TITAN_NANOARROW_VERSION} was not found in ${_root}.\n"
    "Run scripts/setup.sh, or set TITAN_NANOARROW.")
endif()
message(STATUS "nanoarrow ${TITAN_NANOARROW_VERSION}: ${_root}")

# The header that nanoarrow's own build would configure. Every symbol gets a prefix: Python's pyarrow friends may
# bring another copy into the process.
string(REPLACE "." ";" _parts "${TITAN_NANOARROW_VERSION}")
list(GET _parts 0 NANOARROW_VERSION_MAJOR)
list(GET _parts 1 NANOARROW_VERSION_MINOR)
list(GET _parts 2 NANOARROW_VERSION_PATCH)
set(NANOARROW_VERSION ${TITAN_NANOARROW_VERSION})
set(NANOARROW_NAMESPACE_DEFINE "#define NANOARROW_NAMESPACE TitanNanoarrow")
configure_file("${_root}/nanoarrow/nanoarrow_config.h.in"
  "${PROJECT_BINARY_DIR}/generated/nanoarrow/nanoarrow/nanoarrow_config.h" @ONLY)

add_library(titan_nanoarrow OBJECT
  ${_root}/nanoarrow/common/array.c ${_root}/nanoarrow/common/array_stream.c ${_root}/nanoarrow/common/schema.c
  ${_root}/nanoarrow/common/utils.c ${_root}/nanoarrow/ipc/codecs.c ${_root}/nanoarrow/ipc/decoder.c
  ${_root}/nanoarrow/ipc/encoder.c ${_root}/nanoarrow/ipc/writer.c
  ${_root}/flatcc/runtime/builder.c ${_root}/flatcc/runtime/emitter.c ${_root}/flatcc/runtime/refmap.c
  ${_root}/flatcc/runtime/verifier.c)
target_include_directories(titan_nanoarrow SYSTEM PUBLIC "${PROJECT_BINARY_DIR}/generated/nanoarrow" "${_root}")
target_compile_definitions(titan_nanoarrow PRIVATE NDEBUG)
target_compile_options(titan_nanoarrow PRIVATE -w -fvisibility=hidden)
set_target_properties(titan_nanoarrow PROPERTIES C_STANDARD 11 POSITION_INDEPENDENT_CODE ON)
# Memory only: its own arithmetic on hostile sizes wraps, which is why our reader checks what it returns.
if(TITAN_SANITIZE MATCHES "fuzzer")
  target_compile_options(titan_nanoarrow PRIVATE -fsanitize=fuzzer,address -fno-omit-frame-pointer)
elseif(TITAN_SANITIZE MATCHES "address|thread")
  target_compile_options(titan_nanoarrow PRIVATE -fsanitize=${CMAKE_MATCH_0} -fno-omit-frame-pointer)
endif()
