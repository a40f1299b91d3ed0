// CUDA implementations of titan::linear_gelu and linear_gelu_grad by cublasLt's epilogues; part of
// libtitan_cuda.so. Its matrices are column-major: a row-major [m, n] is its [n, m].
#include <ATen/core/Tensor.h>
#include <ATen/cuda/CUDAContextLight.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cublasLt.h>
#include <torch/library.h>

#include <array>
#include <map>
#include <mutex>
#include <tuple>

#include "titan/base/check.h"

namespace titan::ops {
namespace {

constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;  // what NVIDIA recommends for Hopper
constexpr std::uint32_t kLeastAlignment = 16;           // bytes; epilogues_possible() sees to it

void check_lt(cublasStatus_t status, const char* call) {
  TITAN_CHECK(status == CUBLAS_STATUS_SUCCESS, "[gelu] ", call, " says ",
              cublasLtGetStatusString(status));
}

/// What cublasLt creates and destroys by two functions of its own.
template <class Handle, auto kDestroy>
class Owned {
 public:
  Owned() = default;
  ~Owned() {
    if (handle_ != nullptr) kDestroy(handle_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  Handle* to_fill() { return &handle_; }
  operator Handle() const { return handle_; }  // NOLINT(google-explicit-constructor)

 private:
  Handle handle_ = nullptr;
};
using Description = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

template <class Value>
void set(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t name,
         const Value& value) {
  check_lt(cublasLtMatmulDescSetAttribute(description, name, &value, sizeof value),
           "cublasLtMatmulDescSetAttribute");
}

/// d = a b in cublasLt's sense: d is [rows, columns], the sum goes over `depth`; bfloat16, summed
/// in float32.
struct Product {
  bool transpose_a = false;
  int64_t rows = 0, columns = 0, depth = 0;
  const at::Tensor &a, &b, &d;
  cublasLtEpilogue_t epilogue;
  const at::Tensor& bias;    ///< [rows]: added, or receives the sums over columns
  const at::Tensor& before;  ///< as d: what GELU is taken of, written or read
};

/// The heuristic's first choice, asked once a shape.
cublasLtMatmulAlgo_t algorithm(cublasLtHandle_t handle, const Product& product,
                               cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t a,
                               cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t d) {
  static std::mutex mutex;
  static std::map<std::array<int64_t, 5>, cublasLtMatmulAlgo_t> known;
  const std::array<int64_t, 5> key{product.d.get_device(), product.epilogue, product.rows,
                                   product.columns, product.depth};
  const std::lock_guard lock(mutex);
  if (const auto found = known.find(key); found != known.end()) return found->second;
  Preference preference;
  check_lt(cublasLtMatmulPreferenceCreate(preference.to_fill()), "cublasLtMatmulPreferenceCreate");
  const auto workspace = static_cast<std::size_t>(kWorkspaceBytes);
  check_lt(cublasLtMatmulPreferenceSetAttribute(
               preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace),
           "cublasLtMatmulPreferenceSetAttribute");
  // One choice serves all layers of a shape, whose weights need not lie as well as this one's.
  for (const cublasLtMatmulPreferenceAttributes_t operand :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    check_lt(cublasLtMatmulPreferenceSetAttribute(preference, operand, &kLeastAlignment,
                                                  sizeof kLeastAlignment),
             "cublasLtMatmulPreferenceSetAttribute");
  }
  cublasLtMatmulHeuristicResult_t result = {};
  int count = 0;
  check_lt(cublasLtMatmulAlgoGetHeuristic(handle, description, a, b, d, d, preference, 1, &result,
                                          &count),
           "cublasLtMatmulAlgoGetHeuristic");
  TITAN_CHECK(count > 0, "[gelu] cublasLt has no product with this epilogue (", product.rows, " x ",
              product.columns, " x ", product.depth, ")");
  return known.emplace(key, result.algo).first->second;
}

void run(const Product& product) {
  Description description;
  check_lt(cublasLtMatmulDescCreate(description.to_fill(), CUBLAS_COMPUTE_32F, CUDA_R_32F),
           "cublasLtMatmulDescCreate");
  set(description, CUBLASLT_MATMUL_DESC_TRANSA, product.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(description, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
  set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, product.epilogue);
  set(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, product.bias.data_ptr());
  set(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, product.before.data_ptr());
  set(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, product.rows);
  Layout a, b, d;
  const auto lay_out = [](Layout& layout, int64_t rows, int64_t columns) {
    check_lt(
        cublasLtMatrixLayoutCreate(layout.to_fill(), CUDA_R_16BF, static_cast<std::uint64_t>(rows),
                                   static_cast<std::uint64_t>(columns), rows),
        "cublasLtMatrixLayoutCreate");
  };
  lay_out(a, product.transpose_a ? product.depth : product.rows,
          product.transpose_a ? product.rows : product.depth);
  lay_out(b, product.depth, product.columns);
  lay_out(d, product.rows, product.columns);
  cublasLtHandle_t handle = at::cuda::getCurrentCUDABlasLtHandle();
  const cublasLtMatmulAlgo_t algo = algorithm(handle, product, description, a, b, d);
  const at::Tensor workspace = at::empty({kWorkspaceBytes}, product.d.options().dtype(at::kByte));
  const float one = 1, zero = 0;
  check_lt(cublasLtMatmul(handle, description, &one, product.a.const_data_ptr(), a,
                          product.b.const_data_ptr(), b, &zero, product.d.const_data_ptr(), d,
                          product.d.mutable_data_ptr(), d, &algo, workspace.mutable_data_ptr(),
                          static_cast<std::size_t>(kWorkspaceBytes),
                          c10::cuda::getCurrentCUDAStream().stream()),
           "cublasLtMatmul");
}

using TwoTensors = std::tuple<at::Tensor, at::Tensor>;

/// out^T [hidden, rows] = W [hidden, in] x^T [in, rows]; W lies there as [in, hidden].
TwoTensors linear_gelu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const c10::cuda::CUDAGuard guard(x.device());
  at::Tensor out = at::empty({x.size(0), weight.size(0)}, x.options());
  at::Tensor before = at::empty(out.sizes(), out.options());
  run({.transpose_a = true,
       .rows = weight.size(0),
       .columns = x.size(0),
       .depth = x.size(1),
       .a = weight,
       .b = x,
       .d = out,
       .epilogue = CUBLASLT_EPILOGUE_GELU_AUX_BIAS,
       .bias = bias,
       .before = before});
  return {out, before};
}

/// grad_before^T [hidden, rows] = W^T [hidden, out] grad^T [out, rows], times gelu'; W lies there
/// as [hidden, out].
TwoTensors linear_gelu_grad(const at::Tensor& grad, const at::Tensor& weight,
                            const at::Tensor& before) {
  const c10::cuda::CUDAGuard guard(grad.device());
  at::Tensor grad_before = at::empty(before.sizes(), before.options());
  at::Tensor grad_bias = at::empty({before.size(1)}, before.options());
  run({.transpose_a = false,
       .rows = weight.size(1),
       .columns = grad.size(0),
       .depth = grad.size(1),
       .a = weight,
       .b = grad,
       .d = grad_before,
       .epilogue = CUBLASLT_EPILOGUE_DGELU_BGRAD,
       .bias = grad_bias,
       .before = before});
  return {grad_before, grad_bias};
}

}  // namespace

TORCH_LIBRARY_IMPL(titan, CUDA, m) {
  m.impl("linear_gelu", &linear_gelu);
  m.impl("linear_gelu_grad", &linear_gelu_grad);
}

}  // namespace titan::ops
