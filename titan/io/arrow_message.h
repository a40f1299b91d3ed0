/* arrow_message.h: a check that nanoarrow leaves out. Plain C, as flatcc's accessors are. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/** What is missing in a Message flatbuffer that flatcc has verified, or NULL. The verifier lets
 * optional tables and strings be absent; nanoarrow's decoder then reads through a null pointer. */
const char* titan_arrow_message_fault(const void* flatbuffer);

#ifdef __cplusplus
}
#endif
