#include "tests/support/catch.h"

#include "titan/train/model_setup.h"

#include <ATen/ATen.h>

#include "titan/config/job_config.h"
#include "titan/models/builtin.h"
#include "titan/models/layers/float8_layer.h"
#include "titan/models/layers/linear.h"
#include "titan/plan/data_view.h"

namespace titan {

TEST_CASE("The data's shape lists every field, and preprocessed latents stand for an image",
          "[train]") {
  JobConfig config;
  config.training.dataset = "flux_synthetic";
  config.training.img_size = 32;
  config.encoder.max_t5_encoding_len = 3;
  config.encoder.context_in_dim = 5;
  config.encoder.vec_in_dim = 7;
  const auto dataset = open_dataset(config);
  REQUIRE(dataset.ok());
  const StatusOr<DataShape> shape = shape_of(**dataset, 0);
  REQUIRE(shape.ok());
  CHECK(shape->image == std::vector<int64_t>{16, 4, 4});
  CHECK(shape->num_classes == 0);
  CHECK(shape->fields.size() == 5);
  CHECK(shape->fields.at("t5_encodings") == std::vector<int64_t>{3, 5});
  CHECK(shape->fields.at("clip_encodings") == std::vector<int64_t>{7});
  CHECK(shape->fields.at("mean") == shape->image);
  CHECK(shape->has("timestep"));
  CHECK(shape->fields.at("timestep").empty());
  CHECK_FALSE(shape->has("image"));

  config.training.dataset = "synthetic";
  const auto images = open_dataset(config);
  REQUIRE(images.ok());
  const StatusOr<DataShape> plain = shape_of(**images, 0);
  REQUIRE(plain.ok());
  CHECK(plain->image == std::vector<int64_t>{3, 32, 32});
  CHECK(plain->fields.at("image") == plain->image);
  CHECK(plain->num_classes == 10);
}

TEST_CASE("a job's models are converted where they are built, and a device that cannot is named",
          "[train]") {
  JobConfig config;
  config.model.converters = {"float8"};
  const Status refused = check_converters(config, at::kCPU);
  REQUIRE_FALSE(refused.ok());
  CHECK(message_of(refused).find("float8.emulate=true") != std::string::npos);
  config.float8.emulate = true;
  REQUIRE(check_converters(config, at::kCPU).ok());
  config.model.converters.clear();
  config.float8.emulate = false;
  REQUIRE(check_converters(config, at::kCPU).ok());

  config.float8.emulate = true;
  clear_models();
  REQUIRE(models::register_builtin_models().ok());
  const DataShape shape{.image = {3, 32, 32}, .num_classes = 10};
  const auto converted_layers = [&] {
    const auto spec = complete_spec(config);
    REQUIRE(spec.ok());
    const auto model = spec->build(config, shape, at::kMeta);
    REQUIRE(model.ok());
    int64_t converted = 0;
    for (const auto& module : (*model)->modules()) {
      const auto* const layer = dynamic_cast<const models::Linear*>(module.get());
      converted += layer != nullptr && layer->float8 ? 1 : 0;
    }
    return converted;
  };
  CHECK(converted_layers() == 0);
  config.model.converters = {"float8"};
  CHECK(converted_layers() > 0);
  CHECK(converted_layers() % 7 == 0);  // of each of a DiT's blocks
}

}  // namespace titan
