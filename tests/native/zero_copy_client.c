/* The zero-copy flow as board programs write it: memory bound once, rows at the device's stride, int8 codes out, turned
 * into numbers by scale and zero point.
 * zero_copy_client MODEL PICTURE OUTPUT RUNS */
#include "clients.h"

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  rknn_context context = 0;
  CHECK(rknn_init(&context, argv[1], 0, 0, NULL));
  rknn_tensor_attr in, out;
  memset(&in, 0, sizeof(in));
  memset(&out, 0, sizeof(out));
  CHECK(rknn_query(context, RKNN_QUERY_NATIVE_INPUT_ATTR, &in, sizeof(in)));
  CHECK(rknn_query(context, RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR, &out, sizeof(out)));
  in.type = RKNN_TENSOR_UINT8;
  in.fmt = RKNN_TENSOR_NHWC;
  rknn_tensor_mem* input = rknn_create_mem(context, in.size_with_stride);
  rknn_tensor_mem* output = rknn_create_mem(context, out.size_with_stride);
  if (!input || !output) return 3;
  CHECK(rknn_set_io_mem(context, input, &in));
  CHECK(rknn_set_io_mem(context, output, &out));

  const uint32_t height = in.dims[1], width = in.dims[2], channels = in.dims[3];
  const uint32_t stride = in.w_stride ? in.w_stride : width;
  unsigned char* picture = malloc((size_t)height * width * channels);
  read_into(argv[2], picture, (size_t)height * width * channels);
  float* numbers = malloc(out.n_elems * sizeof(float));
  for (int run = 0; run < atoi(argv[4]); ++run) {
    for (uint32_t row = 0; row < height; ++row) {
      memcpy((unsigned char*)input->virt_addr + (size_t)row * stride * channels,
             picture + (size_t)row * width * channels, (size_t)width * channels);
    }
    CHECK(rknn_run(context, NULL));
    for (uint32_t i = 0; i < out.n_elems; ++i) {
      numbers[i] = (float)(((signed char*)output->virt_addr)[i] - out.zp) * out.scale;
    }
  }
  write_out(argv[3], numbers, out.n_elems * sizeof(float));
  free(picture);
  free(numbers);
  CHECK(rknn_destroy_mem(context, input));
  CHECK(rknn_destroy_mem(context, output));
  CHECK(rknn_destroy(context));
  return 0;
}
