// Writes the hash into the note of a sample image, as build_image does: stamp_image FILE.so.
#include <cstdio>

#include "emit/image_note.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto image = cupel::read_file(argv[1]);
  cupel::Status status = image ? cupel::stamp_image(*image) : std::unexpected(image.error());
  if (status) status = cupel::write_file(argv[1], *image);
  if (!status) std::fprintf(stderr, "%s\n", status.error().message().c_str());
  return status ? 0 : 1;
}
