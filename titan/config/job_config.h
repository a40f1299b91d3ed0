// job_config.h: every setting of a job, with its default. Names are torchtitan's where it has the
// key (flux-mlperf.md section 6). A model's own settings live under [model.args] and are decoded by
// the model. The sections lie one group a file under sections/.
#pragma once

#include "titan/config/sections/checkpoint.h"
#include "titan/config/sections/data.h"
#include "titan/config/sections/evaluation.h"
#include "titan/config/sections/float8.h"
#include "titan/config/sections/job.h"
#include "titan/config/sections/metrics.h"
#include "titan/config/sections/model.h"
#include "titan/config/sections/objective.h"
#include "titan/config/sections/optimizer.h"
#include "titan/config/sections/parallelism.h"
#include "titan/config/sections/preprocessing.h"
#include "titan/config/sections/profiling.h"
#include "titan/config/sections/training.h"

namespace titan {

/// Every section of a config.
struct JobConfig {
  JobSection job;
  ModelSection model;
  DatasetSection dataset;
  TrainingSection training;
  EncoderSection encoder;
  EvalSection eval;
  ObjectiveSection objective;
  OptimizerSection optimizer;
  LrSchedulerSection lr_scheduler;
  EmaSection ema;
  ParallelismSection parallelism;
  ActivationCheckpointSection activation_checkpoint;
  CommSection comm;
  CheckpointSection checkpoint;
  MetricsSection metrics;
  MlperfSection mlperf;
  SamplingSection sampling;
  InferenceSection inference;
  PreprocessingSection preprocessing;
  TraceSection trace;
  ProfilingSection profiling;
  AttentionSection attention;
  Float8Section float8;
  KernelsSection kernels;
  MemorySection memory;
};
/// v(section name, section, help)
template <class V>
void visit_sections(JobConfig& c, V&& v) {
  v("job", c.job, "the run: where it writes and where it runs");
  v("model", c.model, "which model; its own settings are under [model.args]");
  v("dataset", c.dataset, "how samples are read and prepared");
  v("training", c.training, "data, batch, length, precision");
  v("encoder", c.encoder, "frozen encoders, and the encodings they leave");
  v("eval", c.eval, "evaluation while training");
  v("objective", c.objective, "what is learned");
  v("optimizer", c.optimizer, "the update");
  v("lr_scheduler", c.lr_scheduler, "learning rate over time");
  v("ema", c.ema, "averaged weights");
  v("parallelism", c.parallelism, "layout of ranks");
  v("activation_checkpoint", c.activation_checkpoint, "memory of activations against recompute");
  v("comm", c.comm, "timeouts between ranks");
  v("checkpoint", c.checkpoint, "saving and resuming");
  v("metrics", c.metrics, "what is measured and where it goes");
  v("mlperf", c.mlperf, "fields of an MLPerf submission's log (metrics.mlperf_logging)");
  v("sampling", c.sampling, "pictures drawn while training");
  v("inference", c.inference, "pictures from a file of prompts (run_inference.sh)");
  v("preprocessing", c.preprocessing, "encoding a data set once (run_preprocessing.sh)");
  v("trace", c.trace, "what every rank did in the last steps");
  v("profiling", c.profiling, "traces and memory snapshots");
  v("attention", c.attention, "which kernel computes attention");
  v("float8", c.float8, "matrix products in 8 bits (model.converters)");
  v("kernels", c.kernels, "operator implementations");
  v("memory", c.memory, "allocator, and the limit that the plan must fit");
}

}  // namespace titan
