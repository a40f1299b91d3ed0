#include "titan/models/builtin.h"

#include "titan/models/dit/spec.h"
#include "titan/models/flux/spec.h"
#include "titan/protocols/model_spec.h"

namespace titan::models {

Status register_builtin_models() {
  if (find_model("dit").ok()) return ok_status();
  TITAN_RETURN_IF_ERROR(register_dit());
  return register_flux();
}

}  // namespace titan::models
