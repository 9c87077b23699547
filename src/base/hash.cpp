#include "base/hash.h"

#include <openssl/evp.h>

#include <memory>
#include <new>

namespace cupel {
namespace {

// What these functions of libcrypto fail for is memory.
void must(int status) {
  if (status != 1) throw std::bad_alloc();
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    must(context_ ? 1 : 0);
    must(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
  }
  void add(const void* bytes, size_t size) { must(EVP_DigestUpdate(context_.get(), bytes, size)); }
  Digest finish() {
    Digest digest;
    must(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr));
    return digest;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace

Digest sha256(std::span<const std::byte> bytes) { return sha256({bytes}); }

Digest sha256(std::initializer_list<std::span<const std::byte>> parts) {
  Sha256 h;
  for (const auto& part : parts) h.add(part.data(), part.size());
  return h.finish();
}

Digest sha256(std::string_view text) { return sha256(std::as_bytes(std::span(text.data(), text.size()))); }

std::string to_hex(const Digest& digest) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (uint8_t b : digest) {
    hex += kDigits[b >> 4];
    hex += kDigits[b & 15];
  }
  return hex;
}

std::string content_hash(const Tensor& tensor) {
  Sha256 h;
  const std::string head = std::string(dtype_name(tensor.dtype())) + to_text(tensor.dims());
  h.add(head.data(), head.size());
  h.add(tensor.bytes().data(), tensor.bytes().size());
  return to_hex(h.finish()).substr(0, 16);
}

}  // namespace cupel
