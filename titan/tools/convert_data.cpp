#include "titan/tools/convert_data.h"

#include <cstdio>

#include "titan/tools/data/action.h"
#include "titan/tools/data/clean_cc12m.h"
#include "titan/tools/data/convert_format.h"
#include "titan/tools/data/encode_folder.h"
#include "titan/tools/data/find_bad.h"
#include "titan/tools/data/select_coco.h"

namespace titan::tools {
namespace {

const std::vector<DataAction>& actions() {
  static const std::vector<DataAction> all = {
      {"format", "preprocessed samples from Arrow files into row shards, or back (the default)",
       convert_format_main},
      {"find-bad", "the rows of an image set that cannot be read, as a filter file", find_bad_main},
      {"clean-cc12m", "the training samples of the Flux job from cc12m's tars, as cc12m_disk",
       clean_cc12m_main},
      {"select-coco", "the evaluation samples of the Flux job from COCO 2014, as tars",
       select_coco_main},
      {"encode-folder", "a folder of pictures a class as latents and labels in safetensors",
       encode_folder_main},
  };
  return all;
}

void print_help() {
  std::printf(
      "titan convert-data ACTION ...     (titan convert-data ACTION --help: the action's "
      "options)\n\n");
  for (const DataAction& action : actions())
    std::printf("  %-14s %s\n", action.name.c_str(), action.help.c_str());
  std::printf(
      "\ntitan convert-data INPUT OUTPUT is `format`. Parquet files come in by\n"
      "scripts/import_parquet.py.\n");
}

}  // namespace

int convert_data_main(const std::vector<std::string>& args) {
  if (args.empty() || args[0] == "--help" || args[0] == "-h") {
    print_help();
    return args.empty() ? 2 : 0;
  }
  for (const DataAction& action : actions())
    if (action.name == args[0]) return action.run({args.begin() + 1, args.end()});
  return convert_format_main(args);
}

}  // namespace titan::tools
