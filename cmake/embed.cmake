# titan_embed(SOURCE NAMESPACE FUNCTION FILE): adds to the variable SOURCE a .cpp, made at build time, that defines
# std::string_view NAMESPACE::FUNCTION() as the bytes of FILE. Also the script that makes it (cmake -P).
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ ${INPUT} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))" "\\1\n" bytes "${bytes}")
  get_filename_component(name ${INPUT} NAME)
  file(WRITE ${OUTPUT} "// Made by cmake/embed.cmake from ${name}.
#include <cstddef>
#include <string_view>
namespace ${NAMESPACE} {
namespace {
constexpr unsigned char kBytes[] = {
${bytes}0};
}  // namespace
std::string_view ${FUNCTION}();
std::string_view ${FUNCTION}() {
  return {reinterpret_cast<const char*>(kBytes), sizeof(kBytes) - 1};
}
}  // namespace ${NAMESPACE}
")
  return()
endif()

set(_titan_embed_script ${CMAKE_CURRENT_LIST_FILE})
function(titan_embed source namespace function file)
  set(output ${PROJECT_BINARY_DIR}/generated/embedded_${function}.cpp)
  add_custom_command(OUTPUT ${output} DEPENDS ${file} ${_titan_embed_script}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${file} -DOUTPUT=${output} -DNAMESPACE=${namespace} -DFUNCTION=${function}
      -P ${_titan_embed_script} COMMENT "" VERBATIM)
  set(${source} ${${source}} ${output} PARENT_SCOPE)
endfunction()
