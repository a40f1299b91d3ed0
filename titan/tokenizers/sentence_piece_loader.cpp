#include "titan/tokenizers/sentence_piece_loader.h"

#include <dlfcn.h>

#include <filesystem>

namespace titan {
namespace {

std::string module_path() {
  Dl_info self{};
  dladdr(reinterpret_cast<void*>(&sentence_piece_module), &self);
  const std::filesystem::path here = self.dli_fname == nullptr ? "" : self.dli_fname;
  return (here.parent_path() / "libtitan_sentencepiece.so").string();
}

StatusOr<const SentencePieceModule*> load() {
  const std::string path = module_path();
  // Its own protobuf before the system's and LibTorch's, which have the same symbols.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (library == nullptr)
    return failed_precondition("[sentencepiece] cannot be loaded: ", dlerror());
  const auto entry = reinterpret_cast<SentencePieceEntry>(dlsym(library, kSentencePieceEntry));
  if (entry == nullptr)
    return failed_precondition("[sentencepiece] ", path, " is not titan's module");
  return entry();
}

}  // namespace

StatusOr<const SentencePieceModule*> sentence_piece_module() {
  static const StatusOr<const SentencePieceModule*> module = load();
  return module;
}

}  // namespace titan
