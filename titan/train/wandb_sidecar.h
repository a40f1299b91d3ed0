// wandb_sidecar.h: scripts/wandb_sidecar.py beside a run (metrics.enable_wandb). No torch.
#pragma once

#include <memory>

#include "titan/metrics/sink.h"
#include "titan/train/run_folder.h"

namespace titan {

/// Starts the process that follows the run's metrics.jsonl and sends it to Weights & Biases; after
/// the file was cut back to the resumed step. The sink writes nothing: it tells the process when
/// the run is done (or, by ceasing to exist, that it is not), and logs what the process complains
/// of, once. The process has a session of its own and none of this one's files: it outlives the run
/// as long as it has something to send, and nothing here ever waits for it. A missing Python or
/// script is one warning. Its output: wandb.log in the run's folder. TITAN_PYTHON names another
/// Python than `python3`.
std::unique_ptr<metrics::MetricsSink> start_wandb_sidecar(const RunFolder& run, bool resumed);

}  // namespace titan
