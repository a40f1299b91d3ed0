#include "titan/tools/verbs.h"

#include <cstdio>

#include "titan/config/field_docs.h"
#include "titan/config/render.h"
#include "titan/models/dit/config.h"
#include "titan/models/flux/config.h"
#include "titan/preprocess/preprocess_main.h"
#include "titan/tools/bench.h"
#include "titan/tools/convert.h"
#include "titan/tools/convert_data.h"
#include "titan/tools/doctor.h"
#include "titan/tools/index_shards.h"
#include "titan/tools/infer.h"
#include "titan/tools/make_encoders.h"
#include "titan/tools/make_shapes.h"
#include "titan/tools/plan.h"
#include "titan/tools/replay.h"
#include "titan/tools/report.h"
#include "titan/tools/sample.h"
#include "titan/tools/shape_checker.h"
#include "titan/tools/verify_resume.h"

namespace titan::tools {
namespace {

int docs_config(const std::vector<std::string>&) {
  const SectionDoc dit = describe_section(
      "model.args", "settings of the model dit, over its flavor's values", models::DitConfig{});
  const SectionDoc flux = describe_section(
      "model.args", "settings of the model flux, over its flavor's values", models::FluxConfig{});
  std::fputs(render_config_markdown({dit, flux}).c_str(), stdout);
  return 0;
}

}  // namespace

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> all = {
      {"sample", "draws a grid of pictures from a trained run", sample_main},
      {"infer", "draws a picture for each prompt of a file, with any number of ranks", infer_main},
      {"convert", "copies weights under other names: Black Forest Labs, diffusers, checkpoints",
       convert_main},
      {"verify-resume",
       "proves that N + N steps equal 2N here, also after kill -9 and on other ranks",
       verify_resume_main},
      {"replay",
       "runs a past step of a run again, bit for bit, and names the first block that differs",
       replay_main},
      {"plan", "what a job needs in memory and time on each rank, in its own and other layouts",
       plan_main},
      {"report",
       "writes runs as one HTML page: curves, time, samples, settings that differ, events",
       report_main},
      {"make-shapes", "renders the embedded data set: coloured shapes with classes and captions",
       make_shapes_main},
      {"make-encoders", "writes small text encoders with random weights for captions at hand",
       make_encoders_main},
      {"convert-data",
       "prepares data sets: cleans cc12m, selects COCO's samples, encodes folders, other formats",
       convert_data_main},
      {"preprocess",
       "encodes a data set of images and captions once: latents and text encodings as files",
       preprocess::preprocess_main},
      {"index-shards", "counts the samples of tars that jobs will read from a server",
       index_shards_main},
      {"check-shapes", "scores pictures of coloured shapes by pixel statistics", check_shapes_main},
      {"bench", "times operators, products, loader and collectives against the machine's ceilings",
       bench_main},
      {"doctor",
       "looks at machine, ranks, links, disks and a job's settings; one page: ok, warn, FAIL",
       doctor_main},
      {"docs-config", "prints docs/config.md from the list of settings", docs_config},
  };
  return all;
}

}  // namespace titan::tools
