// generator_watch.h: whether recomputed blocks look after LibTorch's generators (rng_state.h).
// While a device records a step nobody may ask for a generator's state, and nobody needs to: a step
// whose blocks draw from one is not recorded (train/graphed_step.h).
#pragma once

namespace titan {

/// While alive, this thread's recomputed blocks neither save nor restore the generators.
class GeneratorsUnwatched {
 public:
  GeneratorsUnwatched() : before_(unwatched()) { unwatched() = true; }
  ~GeneratorsUnwatched() { unwatched() = before_; }
  GeneratorsUnwatched(const GeneratorsUnwatched&) = delete;
  GeneratorsUnwatched& operator=(const GeneratorsUnwatched&) = delete;

  static bool here() { return unwatched(); }

 private:
  static bool& unwatched();
  bool before_;
};

}  // namespace titan
