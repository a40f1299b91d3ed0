#include "titan/io/model_folder.h"

#include <filesystem>
#include <fstream>

#include "tests/support/catch.h"
#include "tests/support/golden_root.h"
#include "tests/support/temporary_folder.h"
#include "titan/io/model_cache.h"
#include "titan/io/weight_files.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using testing::TemporaryFolder;

constexpr const char* kT5 = R"({"model_type": "t5"})";
constexpr const char* kClip = R"({"model_type": "clip_text_model"})";

/// Makes the folder "place" with these files, all with a letter in them.
std::string filled(const TemporaryFolder& folder, const std::string& place,
                   const std::vector<std::string>& names) {
  fs::create_directories(folder / place);
  for (const std::string& name : names) folder.write(place + "/" + name, "x");
  return folder / place;
}

std::string chosen(const std::string& path) {
  const auto found = find_weight_file(path);
  return found.ok() ? fs::relative(*found, path).string() : message_of(found.status());
}

TEST_CASE("Of a folder's files the most exact and the safest are taken", "[io]") {
  const TemporaryFolder folder;
  int n = 0;
  const auto of = [&](const std::vector<std::string>& names) {
    return chosen(filled(folder, str_cat("f", n++), names));
  };
  CHECK(of({"model.safetensors", "pytorch_model.bin"}) == "model.safetensors");
  CHECK(of({"model.safetensors", "model.fp16.safetensors"}) == "model.safetensors");
  CHECK(of({"model.safetensors", "extra.safetensors"}) == "model.safetensors");
  CHECK(of({"model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json",
            "pytorch_model.bin"}) == "model.safetensors.index.json");
  CHECK(of({"pytorch_model-1.bin", "pytorch_model-2.bin", "pytorch_model.bin.index.json"}) ==
        "pytorch_model.bin.index.json");
  CHECK(of({"pytorch_model.bin", "training_args.bin", "optimizer.pt", "tf_model.h5"}) ==
        "pytorch_model.bin");
  CHECK(of({"pytorch_model.bin", "model.fp16.safetensors"}) == "pytorch_model.bin");
  CHECK(of({"model.fp16.safetensors"}) == "model.fp16.safetensors");
  CHECK(of({"model.fp16.safetensors", "model.bf16.safetensors"}) == "model.bf16.safetensors");
  CHECK(of({"model.fp16-00001-of-00002.safetensors", "model.fp16-00002-of-00002.safetensors",
            "model.safetensors.index.fp16.json"}) == "model.safetensors.index.fp16.json");
  CHECK(of({"diffusion_pytorch_model.safetensors"}) == "diffusion_pytorch_model.safetensors");
  CHECK(of({"weights.pth"}) == "weights.pth");
  CHECK_THAT(of({"a.safetensors", "b.safetensors"}), Contains("a.safetensors, b.safetensors"));
  CHECK_THAT(of({"a.pt", "b.pt"}), Contains("several files without an index"));
  CHECK_THAT(of({"config.json", "README.md"}), Contains("no .safetensors file, no .bin"));
  CHECK_THAT(of({}), Contains("no .safetensors file"));
}

TEST_CASE("What a file is, is seen from its first bytes", "[io]") {
  const TemporaryFolder folder;
  const auto format = [&](const std::string& name, const std::string& bytes) {
    const auto found = weight_format(folder.write(name, bytes));
    return found.ok() ? *found == WeightFormat::kTorch ? "torch" : "safetensors"
                      : message_of(found.status());
  };
  const std::string torch_zip = testing::slurp("tests/golden/torch_files/zip.pt");
  CHECK(format("a.safetensors", torch_zip) == "torch");
  CHECK(format("b.bin", std::string("\x80\x02}q\0XXX.", 9)) == "torch");
  CHECK(format("b.safetensors", std::string("\x80\x02\0\0\0\0\0\0{}", 10)) == "safetensors");
  CHECK(format("c.bin", "") == "torch");
  CHECK(format("c.safetensors", "") == "safetensors");
  CHECK(format("d.safetensors", "version https://git-lfs.github.com/spec/v1\noid x\n") ==
        str_cat("[weights] ", folder / "d.safetensors",
                " is a pointer of Git LFS, not the file (git lfs pull fetches it)"));
}

TEST_CASE("A Hugging Face folder gives configuration, weights and tokenizer files", "[io]") {
  const TemporaryFolder folder;
  const std::string path =
      filled(folder, "clip", {"config.json", "pytorch_model.bin", "vocab.json", "merges.txt"});
  for (const std::string& given : {path, path + "/"}) {
    const auto model = find_model_folder(given, "clip");
    REQUIRE(model.ok());
    CHECK(fs::equivalent(model->path, path));
    CHECK(fs::equivalent(model->config, path + "/config.json"));
    CHECK(fs::equivalent(model->weights, path + "/pytorch_model.bin"));
    CHECK(fs::equivalent(model->file("vocab.json").value(), path + "/vocab.json"));
    CHECK_THAT(
        message_of(model->file("spiece.model").status()),
        Contains("lacks spiece.model (looked in ") && Contains("scripts/download.sh clip DIR"));
  }
  const auto by_file = find_model_folder(path + "/pytorch_model.bin", "clip");
  REQUIRE(by_file.ok());
  CHECK(by_file->weights == path + "/pytorch_model.bin");
  CHECK(by_file->path == path);
}

TEST_CASE("Missing files are listed all at once, with the command that gets them", "[io]") {
  const TemporaryFolder folder;
  const auto refused = [](const std::string& path, const std::string& role) {
    const auto model = find_model_folder(path, role);
    REQUIRE_FALSE(model.ok());
    CHECK(model.status().code() == absl::StatusCode::kNotFound);
    return message_of(model.status());
  };
  CHECK_THAT(refused(folder / "none", "t5"), Contains("[t5]") && Contains("none does not exist") &&
                                                 Contains("scripts/download.sh t5 DIR"));
  CHECK_THAT(refused(filled(folder, "empty", {}), "t5"),
             Contains("config.json, weights (model.safetensors or pytorch_model.bin") &&
                 Contains("spiece.model") && Contains("looked in " + folder / "empty") &&
                 Contains("scripts/download.sh t5 DIR"));
  CHECK_THAT(refused(filled(folder, "half", {"config.json", "merges.txt"}), "clip"),
             Contains("lacks weights") && Contains("vocab.json") && !Contains("merges.txt"));
  CHECK_THAT(refused(filled(folder, "ae", {"README.md"}), "autoencoder"),
             Contains("ae.safetensors") && Contains("scripts/download.sh autoencoder DIR"));
  const std::string parts = filled(folder, "parts", {"config.json", "spiece.model", "a-1.bin"});
  folder.write("parts/a.bin.index.json",
               R"({"weight_map": {"x": "a-1.bin", "y": "a-2.bin", "z": "a-3.bin"}})");
  CHECK_THAT(refused(parts, "t5"), Contains("lacks a-2.bin, a-3.bin") && !Contains("a-1.bin"));
  CHECK(find_model_folder(filled(folder, "bare", {"config.json"}), "t5", Needs::kConfigOnly).ok());
}

TEST_CASE("Of a diffusers pipeline the part that fits is taken, with its tokenizer", "[io]") {
  const TemporaryFolder folder;
  const std::string pipe = filled(folder, "pipe", {"model_index.json"});
  for (const char* part : {"text_encoder", "text_encoder_2"})
    filled(folder, str_cat("pipe/", part), {"model.safetensors"});
  folder.write("pipe/text_encoder/config.json", kClip);
  folder.write("pipe/text_encoder_2/config.json", kT5);
  filled(folder, "pipe/tokenizer", {"vocab.json", "merges.txt"});
  filled(folder, "pipe/tokenizer_2", {"spiece.model"});
  filled(folder, "pipe/vae", {"config.json", "diffusion_pytorch_model.safetensors"});
  for (const std::string& given : {pipe, pipe + "/text_encoder_2"}) {
    const auto t5 = find_model_folder(given, "t5");
    REQUIRE(t5.ok());
    CHECK(fs::equivalent(t5->path, pipe + "/text_encoder_2"));
    CHECK(fs::equivalent(t5->file("spiece.model").value(), pipe + "/tokenizer_2/spiece.model"));
  }
  const auto clip = find_model_folder(pipe, "clip");
  REQUIRE(clip.ok());
  CHECK(clip->config == pipe + "/text_encoder/config.json");
  CHECK(clip->file("merges.txt").value() == pipe + "/tokenizer/merges.txt");
  const auto vae = find_model_folder(pipe, "autoencoder");
  REQUIRE(vae.ok());
  CHECK(vae->weights == pipe + "/vae/diffusion_pytorch_model.safetensors");
  folder.write("pipe/ae.safetensors", "x");  // as Black Forest Labs' own repository has it
  folder.write("pipe/flux1-schnell.safetensors", "x");
  const auto ae = find_model_folder(pipe, "autoencoder");
  REQUIRE(ae.ok());
  CHECK(ae->weights == pipe + "/ae.safetensors");
  CHECK(ae->config.empty());
}

/// A model in a cache: blobs, and a snapshot of links to them.
void cached(const TemporaryFolder& folder, const std::string& model, const std::string& revision,
            const std::vector<std::string>& names) {
  const std::string snapshot = model + "/snapshots/" + revision;
  fs::create_directories(folder / snapshot);
  for (const std::string& name : names) {
    folder.write(model + "/blobs/" + revision + name, "x");
    fs::create_symlink("../../blobs/" + revision + name, folder / (snapshot + "/" + name));
  }
}

TEST_CASE("Models are found in a Hugging Face cache, by folder or by id", "[io]") {
  const TemporaryFolder folder;
  const std::string name = "hub/models--google--t5-v1_1-xxl";
  cached(folder, name, "0123abc", {"config.json", "pytorch_model.bin", "spiece.model"});
  const std::string snapshot = folder / (name + "/snapshots/0123abc");
  for (const std::string& path : {folder / name, folder / "hub", folder / "hub/google/t5-v1_1-xxl",
                                  folder / (name + "/snapshots/0123abc")}) {
    const auto model = find_model_folder(path, "t5");
    INFO(path << " " << (model.ok() ? "" : message_of(model.status())));
    REQUIRE(model.ok());
    CHECK(model->path == snapshot);
  }
  cached(folder, name, "4567def", {"config.json"});
  CHECK_THAT(message_of(find_model_folder(folder / name, "t5").status()),
             Contains("several snapshots") && Contains("0123abc, 4567def"));
  folder.write(name + "/refs/main", "0123abc\n");
  CHECK(find_model_folder(folder / name, "t5")->path == snapshot);
  folder.write(name + "/refs/main", "../../..");
  CHECK_FALSE(find_model_folder(folder / name, "t5").ok());
  folder.write(name + "/refs/main", "0123abc");

  cached(folder, "hub/models--openai--clip-vit-large-patch14", "88",
         {"config.json", "pytorch_model.bin"});
  CHECK(find_model_folder(folder / "hub", "t5")->path == snapshot);
  CHECK_THAT(message_of(resolve_model_path(folder / "hub").status()), Contains("several models"));
  fs::remove(folder / (name + "/blobs/0123abcpytorch_model.bin"));
  CHECK_THAT(message_of(find_model_folder(folder / name, "t5").status()),
             Contains("pytorch_model.bin (a link to ../../blobs/0123abcpytorch_model.bin") &&
                 Contains("did not end") && Contains("scripts/download.sh t5 DIR"));
  fs::create_directories(folder / "hub/models--a--b/blobs");
  fs::create_directories(folder / "hub/models--a--b/snapshots");
  CHECK_THAT(message_of(find_model_folder(folder / "hub/models--a--b", "t5").status()),
             Contains("without a snapshot"));

  ::setenv("HF_HUB_CACHE", (folder / "hub").c_str(), 1);
  CHECK(find_model_folder("openai/clip-vit-large-patch14", "clip", Needs::kConfigOnly).ok());
  CHECK_THAT(message_of(find_model_folder("openai/other", "clip").status()),
             Contains("does not exist; as a model's id it was looked for as") &&
                 Contains(folder / "hub/models--openai--other"));
  ::unsetenv("HF_HUB_CACHE");
}

TEST_CASE("The reference encoders' folders are found whole", "[io][golden]") {
  const auto root = testing::golden_root();
  if (!root || !fs::is_directory(*root / "encoders")) TITAN_SKIP(testing::kNoGolden);
  int found = 0;
  for (const char* role : {"t5", "clip"})
    for (const fs::directory_entry& entry : fs::directory_iterator(*root / "encoders" / role)) {
      if (!entry.is_directory()) continue;
      const auto model = find_model_folder(entry.path().string(), role);
      INFO(entry.path() << " " << (model.ok() ? "" : message_of(model.status())));
      REQUIRE(model.ok());
      CHECK(fs::exists(model->weights));
      ++found;
    }
  for (const fs::directory_entry& entry : fs::directory_iterator(*root / "encoders/vae"))
    if (entry.is_directory()) {
      CHECK(find_model_folder(entry.path().string(), "autoencoder").ok());
      ++found;
    }
  CHECK(found > 0);
}

}  // namespace
}  // namespace titan
