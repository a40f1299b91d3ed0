// job_plan.h: of a job that can be built: does it fit, does it scale, can it go on.
#pragma once

#include "titan/plan/memory_plan.h"
#include "titan/tools/doctor/job.h"

namespace titan::doctor {

struct PlannedJob {
  const JobConfig& config;
  const ModelSpec& spec;
  const DataShape& shape;
  const plan::ShapeModel& model;
  const plan::Layout& layout;
  const JobPlace& place;
};

/// Parameters, memory of a rank against what there is, and the part of a step that ranks wait for
/// each other at the links' measured speed.
Status check_plan(const PlannedJob& job, Section& section);

struct ResumedJob {
  const JobConfig& config;
  const ModelSpec& spec;
  const Dataset& dataset;
  const plan::ShapeModel& model;
  int64_t global_batch = 0;
};

/// What the run would start from, as train finds it (train/resume_state.h): the newest checkpoint
/// or the chosen one, whether it is of the same job, a run that has ended, and without any of these
/// checkpoint.initial_load_path.
Status check_resume(const ResumedJob& job, Section& section);

}  // namespace titan::doctor
