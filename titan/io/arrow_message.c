#include "titan/io/arrow_message.h"

#include <nanoarrow/ipc/flatcc_generated.h>
#include <stddef.h>

#define ns(x) FLATBUFFERS_WRAP_NAMESPACE(org_apache_arrow_flatbuf, x)

static const char* metadata_fault(ns(KeyValue_vec_t) pairs) {
  for (size_t i = 0; i < ns(KeyValue_vec_len(pairs)); ++i) {
    const ns(KeyValue_table_t) pair = ns(KeyValue_vec_at(pairs, i));
    if (!ns(KeyValue_key_is_present(pair)) || !ns(KeyValue_value_is_present(pair)))
      return "metadata without key or value";
  }
  return NULL;
}

/* Depth: the verifier has bounded it. */
static const char* fields_fault(ns(Field_vec_t) fields) {
  for (size_t i = 0; i < ns(Field_vec_len(fields)); ++i) {
    const ns(Field_table_t) field = ns(Field_vec_at(fields, i));
    if (ns(Field_type_type(field)) == 0 || !ns(Field_type_is_present(field)))
      return "a column without a type";
    if (ns(Field_dictionary_is_present(field)) &&
        !ns(DictionaryEncoding_indexType_is_present(ns(Field_dictionary(field)))))
      return "a dictionary without an index type";
    const char* fault = metadata_fault(ns(Field_custom_metadata(field)));
    if (fault == NULL) fault = fields_fault(ns(Field_children(field)));
    if (fault != NULL) return fault;
  }
  return NULL;
}

const char* titan_arrow_message_fault(const void* flatbuffer) {
  const ns(Message_table_t) message = ns(Message_as_root(flatbuffer));
  if (message == NULL) return "no message";
  if (ns(Message_header_type(message)) == 0 || !ns(Message_header_is_present(message)))
    return "a message without a header";
  if (ns(Message_header_type(message)) != ns(MessageHeader_Schema)) return NULL;
  const ns(Schema_table_t) schema = (ns(Schema_table_t))ns(Message_header(message));
  const char* fault = metadata_fault(ns(Schema_custom_metadata(schema)));
  return fault != NULL ? fault : fields_fault(ns(Schema_fields(schema)));
}
