// `titan convert` as users run it: round trips to the bit, and what it says to weights that do not
// fit.
#include <cstring>
#include <filesystem>
#include <map>

#include "tests/integration/training.h"
#include "tests/support/catch.h"
#include "titan/io/safetensors.h"
#include "titan/io/safetensors_set.h"
#include "titan/models/flux/name_table.h"

using namespace titan;
using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

using Bytes = std::map<std::string, std::string>;

struct FluxFile {
  models::FluxLayout layout{2, 3, true, true};
  models::FluxSizes sizes{{'h', 32}, {'m', 48}, {'d', 8}, {'i', 16},
                          {'o', 16}, {'c', 24}, {'v', 20}};
  TensorType type = TensorType::kF32;
};

std::vector<TensorSpec> tensors_of(const FluxFile& file, const std::string& format) {
  return models::flux_specs(models::flux_tensors(file.layout), file.sizes, format, file.type);
}

/// Writes tensors whose every element is another finite number.
void write(const std::string& path, const std::vector<TensorSpec>& specs) {
  auto writer = SafetensorsWriter::create(path, specs);
  REQUIRE(writer.ok());
  std::uint32_t state = 12345;
  while ((*writer)->remaining_bytes() > 0) {
    state = state * 1664525u + 1013904223u;
    const float value = static_cast<float>(state >> 8) / 16777216.0f - 0.5f;
    char bytes[4];
    std::memcpy(bytes, &value, 4);
    // Of a two-byte type the upper half alone: a bfloat16.
    const std::size_t size = specs[0].type == TensorType::kF32 ? 4 : 2;
    REQUIRE((*writer)->write(bytes + 4 - size, size).ok());
  }
  REQUIRE((*writer)->finish().ok());
}

Bytes read(const std::string& path, TensorType type = TensorType::kF32) {
  const auto set = SafetensorsSet::open(path);
  INFO((set.ok() ? "" : message_of(set.status())));
  REQUIRE(set.ok());
  Bytes all;
  for (const TensorSpec& tensor : set->tensors()) {
    CHECK(tensor.type == type);
    const TensorEntry* entry = set->find(tensor.name);
    all[tensor.name] = std::string(reinterpret_cast<const char*>(entry->data), entry->size_bytes);
  }
  return all;
}

ProcessResult convert(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {kTitanBinary, "convert"});
  return run(arguments);
}

void converted(const std::vector<std::string>& arguments) {
  const ProcessResult result = convert(arguments);
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
}

/// Exit code 2, the texts in the message, and no output left behind.
void refused(const TemporaryFolder& folder, std::vector<std::string> arguments,
             const std::vector<std::string>& mentions) {
  const std::string output = folder / "refused.safetensors";
  arguments.insert(arguments.begin() + 1, output);
  const ProcessResult result = convert(arguments);
  INFO(result.output);
  CHECK(result.exit_code == 2);
  for (const std::string& text : mentions) {
    INFO("looking for: " << text);
    CHECK(result.mentions(text));
  }
  for (const auto& entry : fs::directory_iterator(folder.path()))
    CHECK(entry.path().filename().string().find("refused") == std::string::npos);
}

/// A safetensors file with this header and this many bytes of data.
std::string raw_file(const std::string& header, std::size_t data_bytes) {
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(header.size() >> (8 * i) & 255);
  return bytes + header + std::string(data_bytes, '\0');
}

}  // namespace

TEST_CASE("convert: every way there and back gives the same bytes", "[integration]") {
  const TemporaryFolder folder;
  const FluxFile flux;
  write(folder / "bfl.safetensors", tensors_of(flux, "bfl"));
  const Bytes original = read(folder / "bfl.safetensors");

  converted(
      {folder / "bfl.safetensors", folder / "diffusers", "--to=diffusers", "--shard-size=0.00005"});
  REQUIRE(fs::exists(folder / "diffusers/diffusion_pytorch_model.safetensors.index.json"));
  CHECK(read(folder / "diffusers").size() == tensors_of(flux, "diffusers").size());
  for (const auto& entry : fs::directory_iterator(folder.path()))
    CHECK(entry.path().filename().string().find("titan-convert") == std::string::npos);
  converted({folder / "diffusers", folder / "back.safetensors", "--to=bfl"});
  CHECK(read(folder / "back.safetensors") == original);

  converted({folder / "diffusers", folder / "torchtitan", "--to", "torchtitan"});
  converted({folder / "torchtitan", folder / "again/back.safetensors", "--to=bfl"});
  CHECK(read(folder / "again/back.safetensors") == original);

  converted({folder / "diffusers", folder / "run/checkpoint", "--to=titan"});
  converted({folder / "run", folder / "checkpoint.safetensors", "--to=bfl"});
  CHECK(read(folder / "checkpoint.safetensors") == original);
}

TEST_CASE("convert: bfloat16 weights stay what they are; wider ones are rounded", "[integration]") {
  const TemporaryFolder folder;
  FluxFile flux;
  flux.type = TensorType::kBF16;
  write(folder / "bf16.safetensors", tensors_of(flux, "diffusers"));
  const Bytes original = read(folder / "bf16.safetensors", TensorType::kBF16);
  converted(
      {folder / "bf16.safetensors", folder / "wide.safetensors", "--to=bfl", "--dtype=float32"});
  for (const auto& [name, bytes] : read(folder / "wide.safetensors")) {
    for (std::size_t i = 0; i < bytes.size(); i += 4)
      REQUIRE((bytes[i] == 0 && bytes[i + 1] == 0));  // a bfloat16 is the upper half of a float
  }
  converted({folder / "wide.safetensors", folder / "narrow.safetensors", "--to=diffusers",
             "--dtype=bfloat16"});
  CHECK(read(folder / "narrow.safetensors", TensorType::kBF16) == original);
  converted(
      {folder / "wide.safetensors", folder / "half.safetensors", "--to=bfl", "--dtype=float16"});
  CHECK(read(folder / "half.safetensors", TensorType::kF16).size() ==
        tensors_of(flux, "bfl").size());
}

TEST_CASE("convert: nothing is overwritten, and bad requests are explained", "[integration]") {
  const TemporaryFolder folder;
  write(folder / "in.safetensors", tensors_of({}, "bfl"));
  folder.write("there.safetensors", "precious");
  const ProcessResult existing =
      convert({folder / "in.safetensors", folder / "there.safetensors", "--to=bfl"});
  CHECK(existing.exit_code == 2);
  CHECK(existing.mentions("exists already"));
  CHECK(slurp(folder / "there.safetensors") == "precious");
  const std::string in = folder / "in.safetensors";
  refused(folder, {in, "--to=difusers"}, {"--to", "did you mean diffusers?", "titan"});
  refused(folder, {in, "--to=bfl", "--dtype=int8"}, {"--dtype", "bfloat16"});
  refused(folder, {in, "--to=bfl", "--from=sd3"}, {"--from", "torchtitan"});
  refused(folder, {in}, {"--to=FORMAT"});
  refused(folder, {folder / "absent", "--to=bfl"}, {"absent", "does not exist"});
  refused(folder, {in, "--to=bfl", "--frm=x"}, {"--frm", "--from"});
  folder.write("other.safetensors",
               raw_file(R"({"layers.0.w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4));
  refused(folder, {folder / "other.safetensors", "--to=bfl"},
          {"no model", "layers.0.w", "diffusers"});
  const ProcessResult help = convert({"--help"});
  CHECK(help.exit_code == 0);
  CHECK(help.mentions("--shard-size"));
}

TEST_CASE("convert: damaged and unfitting weights are named", "[integration]") {
  const TemporaryFolder folder;
  const auto bad = [&](const std::string& header, std::size_t data_bytes, const std::string& why) {
    const std::string path = folder.write("bad.safetensors", raw_file(header, data_bytes));
    refused(folder, {path, "--to=bfl"}, {"bad.safetensors", why});
  };
  const std::string a = R"("a":{"dtype":"F32","shape":[2],"data_offsets":)";
  const std::string b = R"("b":{"dtype":"F32","shape":[2],"data_offsets":)";
  bad("{" + a + "[0,8]}," + b + "[4,12]}}", 12, "overlap");
  bad("{" + a + "[0,8]}," + b + "[8,16]}}", 12, "do not lie in the 12 bytes");
  bad("{" + a + "[0,8]}," + b + "[12,20]}}", 20, "gap");
  bad("{" + a + "[8,0]}}", 8, "do not lie");
  folder.write("bad.safetensors", std::string(8, '\x7f') + "{}");
  refused(folder, {folder / "bad.safetensors", "--to=bfl"}, {"header length does not fit"});

  std::vector<TensorSpec> specs = tensors_of({}, "bfl");
  const auto at = [&](const std::string& name) -> TensorSpec& {
    for (TensorSpec& spec : specs)
      if (spec.name == name) return spec;
    throw std::runtime_error(name);
  };
  at("double_blocks.1.img_mlp.0.weight").name = "double_blocks.1.img_mpl.0.weight";
  at("single_blocks.2.linear1.bias").shape = {7};
  specs.push_back({"ema_decay", TensorType::kF32, {1}});
  write(folder / "unfit.safetensors", specs);
  refused(
      folder, {folder / "unfit.safetensors", "--to=diffusers"},
      {"1 missing: double_blocks.1.img_mlp.0.weight (there is double_blocks.1.img_mpl.0.weight)",
       "ema_decay", "single_blocks.2.linear1.bias is [7], not [144]"});
  FluxFile integers;
  integers.type = TensorType::kI16;
  write(folder / "integers.safetensors", tensors_of(integers, "bfl"));
  refused(folder, {folder / "integers.safetensors", "--to=bfl"},
          {"img_in.weight is I16, not a floating-point type"});
}
