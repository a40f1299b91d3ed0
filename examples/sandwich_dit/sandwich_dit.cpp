// A DiT whose branches are normalised twice (sandwich norm, Ding et al. 2021, arXiv:2105.13290).
#include <titan/titan.h>

using namespace titan;
using namespace titan::models;
constexpr auto kBias = Linear::Bias::kYes;

struct Args {
  int64_t dim = 384, depth = 12, heads = 6, patch = 2;
};
template <class V>
void visit_fields(Args& a, V&& v) {  // keys under [model.args]
  v("dim", a.dim, "width", rule::at_least(4));
  v("depth", a.depth, "number of blocks", rule::at_least(1));
  v("heads", a.heads, "attention heads; 4 x heads must divide dim", rule::at_least(1));
  v("patch", a.patch, "side of a patch; must divide the image", rule::at_least(1));
}

struct SandwichBlock : Block {
  SandwichBlock(const Args& a, const at::TensorOptions& o) {
    ada = register_module("ada", std::make_shared<Linear>(a.dim, 6 * a.dim, kBias, o));
    attn = register_module("attn", std::make_shared<SelfAttention>(a.dim, a.heads, a.heads, o));
    mlp = register_module("mlp", std::make_shared<FeedForward>(a.dim, 4 * a.dim, o));
  }
  BlockState forward(BlockState s) override {              // s.x [B, N, D], s.cond [B, D]
    auto p = ada->forward(at::silu(s.cond)).chunk(6, -1);  // shift, scale, gate [B, D], twice
    auto a = attn->forward(ops::modulate_norm(s.x, {}, {.scale = p[1], .shift = p[0]}), s.rope);
    s.x = ops::gated_residual(s.x, ops::modulate_norm(a, {}), p[2]);
    auto m = mlp->forward(ops::modulate_norm(s.x, {}, {.scale = p[4], .shift = p[3]}));
    s.x = ops::gated_residual(s.x, ops::modulate_norm(m, {}), p[5]);
    return s;
  }
  std::shared_ptr<Linear> ada;
  std::shared_ptr<SelfAttention> attn;
  std::shared_ptr<FeedForward> mlp;
};

struct SandwichDit : Model {
  SandwichDit(const Args& a, const DataShape& data, const at::TensorOptions& o) : args(a) {
    const int64_t channels = data.image[0], d = a.dim, p = a.patch;
    patches = register_module("patches", std::make_shared<PatchEmbedding>(channels, d, p, o));
    time = register_module("time", std::make_shared<TimeEmbedding>(d, /*time_scale=*/1000, o));
    label = register_module("label", std::make_shared<ClassEmbedding>(data.num_classes, d, o));
    out = register_module("out", std::make_shared<Linear>(d, p * p * channels, kBias, o));
    for (int64_t i = 0; i < a.depth; ++i)
      all.push_back(register_module(std::to_string(i), std::make_shared<SandwichBlock>(a, o)));
  }
  BlockState embed(const at::Tensor& x_t, const at::Tensor& t, const Conditioning& c) override {
    const int64_t rows = x_t.size(2) / args.patch, columns = x_t.size(3) / args.patch;
    BlockState s;
    s.x = patches->forward(x_t.to(out->weight.scalar_type()).contiguous());
    s.cond = time->forward(t) + label->forward(c.get("label"));
    s.rope = rope_table_2d(rows, columns, args.dim / args.heads, /*theta=*/100, x_t.device());
    return s;
  }
  std::vector<std::shared_ptr<Block>> blocks() const override { return all; }
  at::Tensor head(const BlockState& s, at::IntArrayRef shape) override {
    return unpatchify(out->forward(ops::modulate_norm(s.x, {})), shape[2] / args.patch,
                      shape[3] / args.patch, args.patch);
  }
  std::vector<std::string> head_parameters() const override { return {"out.weight", "out.bias"}; }
  void initialize_parameter(uint64_t seed, const std::string& name, const init::Slice& p) override {
    bool zero = name.ends_with("bias") || name.ends_with("ada.weight") || name == "out.weight";
    zero ? init::constant_(p, 0) : init::normal_(p, {seed, name}, 0.02);
  }
  Args args;
  std::shared_ptr<PatchEmbedding> patches;
  std::shared_ptr<TimeEmbedding> time;
  std::shared_ptr<ClassEmbedding> label;
  std::shared_ptr<Linear> out;
  std::vector<std::shared_ptr<Block>> all;
};

StatusOr<std::shared_ptr<Model>> build(const JobConfig& job, const DataShape& data, at::Device to) {
  TITAN_ASSIGN_OR_RETURN(const Args a, decode_args(job.model.args, Args{}));
  if (a.dim % (4 * a.heads) != 0)
    return invalid_argument("[sandwich_dit] 4 x heads must divide dim (dim=", a.dim, ")");
  return std::make_shared<SandwichDit>(a, data, at::TensorOptions().device(to));
}

int main(int argc, char** argv) {
  ModelSpec spec;
  spec.name = "sandwich_dit";
  spec.build = build;  // flavors, data set, objective, sampler keep their defaults
  return register_model(spec).ok() ? train_main(argc, argv) : 1;
}
