#include "titan/parallel/unit_storage.h"

#include <utility>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/core/StorageImpl.h>

#include "titan/base/check.h"

namespace titan::parallel {
namespace {

c10::Storage without_memory(int64_t bytes, at::Device device) {
  return c10::Storage(c10::make_intrusive<c10::StorageImpl>(
      c10::StorageImpl::use_byte_size_t(), static_cast<std::size_t>(bytes),
      at::DataPtr(nullptr, device), /*allocator=*/nullptr, /*resizable=*/false));
}

}  // namespace

UnitStorage::UnitStorage(const UnitLayout& layout, const std::vector<at::Tensor>& leaves,
                         at::ScalarType dtype, at::Device device)
    : dtype_(dtype),
      device_(device),
      bytes_(layout.length * static_cast<int64_t>(c10::elementSize(dtype))) {
  const at::NoGradGuard no_grad;
  storage_ = without_memory(bytes_, device);
  at::Tensor flat = at::empty({0}, at::TensorOptions().dtype(dtype).device(device));
  flat.set_(storage_, 0, {layout.length}, {1});
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    const Fragment& parameter = layout.parameters[i];
    TITAN_CHECK(leaves[i].is_leaf(), "[parallel] a parameter must be a leaf (", parameter.name,
                ")");
    const at::Tensor view =
        flat.narrow(0, parameter.local_offset, parameter.length).view(parameter.shape);
    // What set_data does, without its refusal of a leaf from the device meta.
    leaves[i].unsafeGetTensorImpl()->shallow_copy_from(view.getIntrusivePtr());
    versions_.push_back(leaves[i].unsafeGetTensorImpl()->version_counter());
  }
  clear();
}

void UnitStorage::point_at(const at::Tensor& memory) {
  TITAN_CHECK(memory.is_contiguous() && memory.device() == device_ &&
                  static_cast<int64_t>(memory.nbytes()) >= bytes_,
              "[parallel] memory for a unit is contiguous, on its device and large enough (",
              bytes_, " bytes wanted, ", memory.nbytes(), " given)");
  c10::StorageImpl* const storage = storage_.unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(at::DataPtr(memory.data_ptr(), device_));
  storage->set_nbytes(static_cast<std::size_t>(bytes_));
  has_memory_ = true;
}

void UnitStorage::contents_changed() {
  for (c10::VariableVersion& version : versions_)
    if (version.enabled()) version.bump();
}

void UnitStorage::clear() {
  c10::StorageImpl* const storage = storage_.unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(at::DataPtr(nullptr, device_));
  storage->set_nbytes(std::size_t{0});
  has_memory_ = false;
}

}  // namespace titan::parallel
