// store_board.h: heartbeats in the ranks' common store.
#pragma once

#include <memory>

#include <torch/csrc/distributed/c10d/Store.hpp>

#include "titan/parallel/heartbeat.h"

namespace titan::parallel {

/// `store`: a connection of its own. `serves`: the store lies in this process, which must not end
/// before the others have read why.
std::unique_ptr<BeatBoard> open_store_board(c10::intrusive_ptr<c10d::Store> store, int rank,
                                            int world_size, bool serves);

}  // namespace titan::parallel
