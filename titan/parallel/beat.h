// beat.h: what a rank tells the others of itself, about once a second. No torch.
#pragma once

#include <cstdint>
#include <string>

#include "titan/base/status.h"

namespace titan::parallel {

/// Counters rather than times: clocks of different machines are never compared.
struct Beat {
  std::int64_t count = 0;     ///< beats so far: grows as long as the process lives
  std::int64_t progress = 0;  ///< things begun and ended so far: grows as long as the rank gets on
  std::int64_t step = 0;
  std::int64_t of_step = 0;      ///< the same since the step began: comparable between ranks
  std::string phase;             ///< "step", "evaluation", ...
  bool patient = false;          ///< nothing may be heard for long: the first step, a checkpoint
  bool judged = true;            ///< false: progress is not counted (trace.enable=false)
  bool left = false;             ///< the last beat: the rank is done
  std::string doing;             ///< "forward", "wait", "data"; what was begun last
  bool open = false;             ///< it has not ended
  std::string collective;        ///< of a wait
  std::string unit;              ///< of `doing`; empty = none
  std::string last_work;         ///< "backward of blocks.3": what was last begun of a unit
  std::string note;              ///< more about `doing`: the sample that is waited for
  std::int64_t cursor = 0;       ///< global samples consumed before this step
  std::int64_t first_slot = -1;  ///< of the micro-batch: its global samples, -1 = none yet
  std::int64_t num_slots = 0;

  bool waits_for_ranks() const { return open && !collective.empty(); }
  bool waits_for_data() const { return open && doing == "data"; }
  /// "step 12, waits for all-reduce after backward of blocks.1, global samples 96 to 103".
  std::string where() const;
};

std::string encode(const Beat& beat);
/// An error for a text that encode() did not make.
StatusOr<Beat> decode_beat(const std::string& text);

}  // namespace titan::parallel
