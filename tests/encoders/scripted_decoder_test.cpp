#include "tests/support/catch.h"

#include "titan/models/encoders/scripted_decoder.h"

#include <torch/script.h>

#include "tests/support/temporary_folder.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using models::ScriptedModule;
using testing::TemporaryFolder;

/// A module with one parameter "mix" [out, in] and this forward, saved as TorchScript.
std::string save_module(const TemporaryFolder& folder, const std::string& name,
                        const std::string& forward, const at::Tensor& mix) {
  torch::jit::Module module("tokenizer");
  module.register_parameter("mix", mix, /*is_buffer=*/false);
  module.define(forward);
  const std::string path = folder / name;
  module.save(path);
  return path;
}

constexpr const char* kDecode = R"(
def forward(self, z):
    x = torch.einsum("oc,bchw->bohw", [self.mix, z])
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)
)";
constexpr const char* kEncode = R"(
def forward(self, x):
    z = torch.einsum("oc,bchw->bohw", [self.mix, x[:, :, ::2, ::2]])
    return (z, x)
)";

ScriptedModule opened(const std::string& path) {
  StatusOr<ScriptedModule> module = ScriptedModule::open(path, at::kCPU);
  INFO((module.ok() ? "" : message_of(module.status())));
  REQUIRE(module.ok());
  return *std::move(module);
}

TEST_CASE("A TorchScript file decodes latents and encodes images", "[encoders]") {
  const TemporaryFolder folder;
  const at::Tensor mix =
      torch::tensor({{1., 2., 0., -1.}, {0., 1., 1., 0.}, {3., 0., 0., 0.5}}, at::kFloat);
  const ScriptedModule decoder = opened(save_module(folder, "decoder.jit", kDecode, mix));
  const at::Tensor z = torch::randn({2, 4, 3, 5});
  const at::Tensor image = decoder.decode(z);
  REQUIRE(image.sizes() == at::IntArrayRef({2, 3, 6, 10}));
  REQUIRE_FALSE(image.requires_grad());
  CHECK(torch::allclose(image.slice(2, 1, {}, 2).slice(3, 0, {}, 2),
                        torch::einsum("oc,bchw->bohw", {mix, z}), 1e-5, 1e-5));

  const ScriptedModule encoder =
      opened(save_module(folder, "encoder.jit", kEncode, mix.t().contiguous()));
  const at::Tensor latents = encoder.encode(image);
  REQUIRE(latents.sizes() == at::IntArrayRef({2, 4, 3, 5}));  // the first of the tuple
  CHECK(torch::allclose(
      latents, torch::einsum("oc,bohw->bchw", {mix, image.slice(2, 0, {}, 2).slice(3, 0, {}, 2)}),
      1e-5, 1e-5));
}

TEST_CASE("A TorchScript file in bfloat16 takes and gives float32", "[encoders]") {
  const TemporaryFolder folder;
  const at::Tensor mix = torch::ones({3, 4}, at::kBFloat16);
  const ScriptedModule decoder = opened(save_module(folder, "decoder.jit", kDecode, mix));
  const at::Tensor image = decoder.decode(torch::ones({1, 4, 2, 2}));
  CHECK(image.scalar_type() == at::kFloat);
  CHECK(torch::equal(image, torch::full({1, 3, 4, 4}, 4.0)));
}

TEST_CASE("A file that is no TorchScript is refused", "[encoders]") {
  const TemporaryFolder folder;
  const auto refusal = [](const std::string& path) {
    return message_of(ScriptedModule::open(path, at::kCPU).status());
  };
  CHECK_THAT(refusal(folder / "none.jit"), Contains("there is no file") && Contains("none.jit") &&
                                               Contains("scripts/download.sh cosmos-decoder DIR"));
  CHECK_THAT(refusal(folder.path().string()), Contains("there is no file"));
  CHECK_THAT(refusal(folder.write("text.jit", "not a module")),
             Contains("text.jit is not a TorchScript module"));
  CHECK_THAT(refusal(folder.write("empty.jit", "")), Contains("is not a TorchScript module"));
  const std::string whole =
      testing::slurp(save_module(folder, "whole.jit", kDecode, torch::ones({3, 4})));
  CHECK_THAT(refusal(folder.write("cut.jit", whole.substr(0, whole.size() / 2))),
             Contains("is not a TorchScript module"));
  torch::jit::Module without("tokenizer");
  without.save(folder / "without.jit");
  CHECK_THAT(refusal(folder / "without.jit"), Contains("has no method forward"));
}

TEST_CASE("A TorchScript file of another kind fails with its name", "[encoders]") {
  const TemporaryFolder folder;
  const at::Tensor z = torch::zeros({2, 4, 3, 3});
  const auto failure = [&](const std::string& forward, const at::Tensor& mix) {
    const ScriptedModule module = opened(save_module(folder, "other.jit", forward, mix));
    try {
      module.decode(z);
    } catch (const titan::Error& error) {
      return std::string(error.what());
    }
    return std::string("nothing is thrown");
  };
  CHECK_THAT(failure(kDecode, torch::ones({3, 5})),
             Contains("other.jit fails for an input of shape "
                      "[2, 4, 3, 3]"));
  CHECK_THAT(failure(kDecode, torch::ones({5, 4})),
             Contains("must return pictures of 3 channels") && Contains("result=[2, 5, 6, 6]"));
  CHECK_THAT(failure("def forward(self, x):\n    return x.mean()\n", torch::ones({1})),
             Contains("must return [B, C, H, W]") && Contains("result=[]"));
  CHECK_THAT(failure("def forward(self, x):\n    return x[:1]\n", torch::ones({1})),
             Contains("of the input's batch"));
  CHECK_THAT(failure("def forward(self, x):\n    return 3\n", torch::ones({1})),
             Contains("returns Int, not a tensor"));
  const ScriptedModule encoder = opened(save_module(folder, "e.jit", kEncode, torch::ones({4, 3})));
  CHECK_THROWS_WITH(encoder.encode(z), Contains("images must be [B, 3, H, W]"));
}

}  // namespace
}  // namespace titan
