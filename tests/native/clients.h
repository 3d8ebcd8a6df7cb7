/* What both C clients share: reading files, and leaving with a message where a call fails. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rknn_api.h"

#define CHECK(call)                                            \
  do {                                                         \
    int code_ = (call);                                        \
    if (code_ < 0) {                                           \
      fprintf(stderr, "%s returned %d\n", #call, code_);       \
      exit(1);                                                 \
    }                                                          \
  } while (0)

static void read_into(const char* path, void* to, size_t size) {
  FILE* file = fopen(path, "rb");
  if (!file || fread(to, 1, size, file) != size) {
    fprintf(stderr, "%s has not %zu bytes\n", path, size);
    exit(1);
  }
  fclose(file);
}

static void write_out(const char* path, const void* from, size_t size) {
  FILE* file = fopen(path, "wb");
  if (!file || fwrite(from, 1, size, file) != size) exit(1);
  fclose(file);
}

static void* read_model(const char* path, uint32_t* size) {
  FILE* file = fopen(path, "rb");
  if (!file) exit(1);
  fseek(file, 0, SEEK_END);
  *size = (uint32_t)ftell(file);
  fclose(file);
  void* model = malloc(*size);
  read_into(path, model, *size);
  return model;
}
