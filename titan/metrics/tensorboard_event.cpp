#include "titan/metrics/tensorboard_event.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

namespace titan::metrics {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

/// Bytes that `write(CodedOutputStream*)` writes.
template <class Write>
std::string encoded(Write&& write) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    CodedOutputStream out(&stream);
    write(&out);
  }
  return bytes;
}

void write_message(int field, const std::string& message, CodedOutputStream* out) {
  WireFormatLite::WriteBytes(field, message, out);  // a nested message has the same form
}

void write_head(double wall_time, int64_t step, CodedOutputStream* out) {
  WireFormatLite::WriteDouble(1, wall_time, out);
  WireFormatLite::WriteInt64(2, step, out);
}

}  // namespace

std::string version_event(double wall_time) {
  return encoded([&](CodedOutputStream* out) {
    WireFormatLite::WriteDouble(1, wall_time, out);
    WireFormatLite::WriteString(3, "brain.Event:2", out);
  });
}

std::string scalar_event(double wall_time, int64_t step,
                         const std::vector<std::pair<std::string, double>>& scalars) {
  const std::string summary = encoded([&](CodedOutputStream* out) {
    for (const auto& [tag, value] : scalars) {
      write_message(
          1,
          encoded([&, &name = tag, number = static_cast<float>(value)](CodedOutputStream* inner) {
            WireFormatLite::WriteString(1, name, inner);
            WireFormatLite::WriteFloat(2, number, inner);
          }),
          out);
    }
  });
  return encoded([&](CodedOutputStream* out) {
    write_head(wall_time, step, out);
    write_message(5, summary, out);
  });
}

std::string restart_event(double wall_time, int64_t step) {
  return encoded([&](CodedOutputStream* out) {
    write_head(wall_time, step, out);
    write_message(
        7, encoded([](CodedOutputStream* inner) { WireFormatLite::WriteEnum(1, 1, inner); }), out);
  });
}

std::optional<int64_t> step_of_event(std::string_view event) {
  CodedInputStream in(reinterpret_cast<const std::uint8_t*>(event.data()),
                      static_cast<int>(event.size()));
  int64_t step = 0;
  while (const std::uint32_t tag = in.ReadTag()) {
    if (tag == WireFormatLite::MakeTag(2, WireFormatLite::WIRETYPE_VARINT)) {
      std::uint64_t value = 0;
      if (!in.ReadVarint64(&value)) return std::nullopt;
      step = static_cast<int64_t>(value);
    } else if (!WireFormatLite::SkipField(&in, tag)) {
      return std::nullopt;
    }
  }
  if (!in.ConsumedEntireMessage()) return std::nullopt;
  return step;
}

}  // namespace titan::metrics
