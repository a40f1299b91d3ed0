#include "titan/models/builtin.h"

#include "titan/models/dit/spec.h"
#include "titan/protocols/model_spec.h"

namespace titan::models {

Status register_builtin_models() {
  if (find_model("dit").ok()) return ok_status();
  return register_dit();
}

}  // namespace titan::models
