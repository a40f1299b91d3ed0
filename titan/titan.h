// titan.h: everything a program outside this repository needs to bring its own model, data set or
// loop. Nothing inside titan includes it. What it includes, and what that includes, is installed;
// other headers are not.
#pragma once

// From argv to exit code.
#include "titan/base/log.h"
#include "titan/models/builtin.h"
#include "titan/train/job_main.h"
#include "titan/train/run_folder.h"
#include "titan/train/train_main.h"
#include "titan/train/trainer.h"

// What a model is, and its settings under [model.args].
#include "titan/config/decode.h"
#include "titan/protocols/model_spec.h"

// Parts of models.
#include "titan/models/layers/attention.h"
#include "titan/models/layers/embeddings.h"
#include "titan/models/layers/feed_forward.h"
#include "titan/models/layers/linear.h"
#include "titan/models/layers/norm.h"
#include "titan/models/layers/patches.h"
#include "titan/models/layers/rope_table.h"

// Differentiable operators with fused kernels; ATen's own work as well.
#include "titan/ops/attention.h"
#include "titan/ops/gelu.h"
#include "titan/ops/linear.h"
#include "titan/ops/modulate_norm.h"
#include "titan/ops/mse.h"
#include "titan/ops/residual.h"
#include "titan/ops/rope.h"
#include "titan/ops/stream_attention.h"
#include "titan/ops/swiglu.h"
