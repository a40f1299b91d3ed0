// report.h: plans as a table for people.
#pragma once

#include <string>
#include <vector>

#include "titan/plan/hardware.h"
#include "titan/plan/memory_plan.h"
#include "titan/plan/time_model.h"

namespace titan::plan {

/// One line of the table.
struct PlanRow {
  std::string strategy;
  std::string recompute;  ///< "none", "selective", "full"
  MemoryPlan memory;
  StepTime time;
  int64_t micro_batch = 0;          ///< of the plan
  int64_t largest_micro_batch = 0;  ///< within the limit; 0 = none, -1 = no limit known
  bool fits = true;
};

/// Plans `layout` on `hardware`; `limit_bytes` 0 = unknown.
StatusOr<PlanRow> plan_row(const ShapeModel& model, const Layout& layout, const ModelFlops& flops,
                           const Hardware& hardware, int64_t ranks_per_node, int64_t limit_bytes);

/// The rows under a header, columns aligned.
std::string to_table(const std::vector<PlanRow>& rows);

}  // namespace titan::plan
