#include "titan/models/encoders/scripted_decoder.h"

#include <exception>
#include <filesystem>
#include <optional>
#include <utility>

#include <torch/script.h>
#include <torch/version.h>

#include "titan/base/check.h"

namespace titan::models {
namespace {

constexpr int64_t kColours = 3;

/// LibTorch's messages end in a stack trace.
std::string first_line(const std::exception& error) {
  const auto* detailed = dynamic_cast<const c10::Error*>(&error);
  const std::string text = detailed != nullptr ? detailed->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

/// What went wrong is said at the end of a TorchScript trace.
std::string last_line(const std::exception& error) {
  std::string text = error.what();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const std::size_t begin = text.rfind('\n');
  return begin == std::string::npos ? text : text.substr(begin + 1);
}

/// Dtype of the parameters, if there are any.
std::optional<at::ScalarType> dtype_of(const torch::jit::Module& module) {
  for (const at::Tensor& parameter : module.parameters())
    if (parameter.is_floating_point()) return parameter.scalar_type();
  return std::nullopt;
}

}  // namespace

struct ScriptedModule::Impl {
  std::string path;
  torch::jit::Module module;
  std::optional<at::ScalarType> dtype;
};

ScriptedModule::ScriptedModule(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ScriptedModule::ScriptedModule(ScriptedModule&&) noexcept = default;
ScriptedModule& ScriptedModule::operator=(ScriptedModule&&) noexcept = default;
ScriptedModule::~ScriptedModule() = default;

StatusOr<ScriptedModule> ScriptedModule::open(const std::string& path, at::Device device) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored))
    return not_found("[decoder] there is no file ", path,
                     "; scripts/download.sh cosmos-decoder DIR fetches one");
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  try {
    impl->module = torch::jit::load(path, device);
    impl->module.eval();
  } catch (const std::exception& error) {
    return invalid_argument("[decoder] ", path, " is not a TorchScript module that LibTorch ",
                            TORCH_VERSION, " can load: ", first_line(error));
  }
  if (!impl->module.find_method("forward"))
    return invalid_argument("[decoder] the TorchScript module ", path, " has no method forward");
  impl->dtype = dtype_of(impl->module);
  return ScriptedModule(std::move(impl));
}

at::Tensor ScriptedModule::run(const at::Tensor& input) const {
  const at::NoGradGuard no_grad;
  c10::IValue result;
  try {
    result = impl_->module.forward({impl_->dtype ? input.to(*impl_->dtype) : input});
  } catch (const std::exception& error) {
    throw Error(str_cat("[decoder] ", impl_->path, " fails for an input of shape ", input.sizes(),
                        ": ", last_line(error)));
  }
  if (result.isTuple() && !result.toTupleRef().elements().empty())
    result = c10::IValue(result.toTupleRef().elements()[0]);
  TITAN_CHECK(result.isTensor(), "[decoder] ", impl_->path, " returns ", result.tagKind(),
              ", not a tensor");
  at::Tensor out = result.toTensor().detach().to(at::kFloat);
  TITAN_CHECK(out.dim() == 4 && out.size(0) == input.size(0), "[decoder] ", impl_->path,
              " must return [B, C, H, W] of the input's batch (input=", input.sizes(),
              ", result=", out.sizes(), ")");
  return out;
}

at::Tensor ScriptedModule::decode(const at::Tensor& latents) const {
  at::Tensor pictures = run(latents);
  TITAN_CHECK(pictures.size(1) == kColours, "[decoder] ", impl_->path,
              " must return pictures of 3 channels (latents=", latents.sizes(),
              ", result=", pictures.sizes(), ")");
  return pictures;
}

at::Tensor ScriptedModule::encode(const at::Tensor& images) const {
  TITAN_CHECK(images.dim() == 4 && images.size(1) == kColours,
              "[decoder] images must be [B, 3, H, W] (images=", images.sizes(), ")");
  return run(images);
}

}  // namespace titan::models
