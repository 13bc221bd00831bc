// Decodes a JPEG file to RGB by libjpeg, whose defaults (slow integer DCT, smooth upsampling) Pillow uses too.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <jpeglib.h>
#include <jerror.h>

struct Image {
    std::size_t height = 0, width = 0;
    std::vector<std::uint8_t> pixels;  // height * width * 3
};

namespace detail {

struct JpegError : jpeg_error_mgr {
    std::jmp_buf back;
    char message[JMSG_LENGTH_MAX];
};

// libjpeg is C, through which no exception may pass.
inline void jpeg_failed(j_common_ptr info) {
    auto* error = static_cast<JpegError*>(info->err);
    error->format_message(info, error->message);
    std::longjmp(error->back, 1);
}

// As Pillow: a file that ends early is refused, other damage is passed over.
inline void jpeg_warned(j_common_ptr info, int) {
    if (info->err->msg_code == JWRN_JPEG_EOF) jpeg_failed(info);
}

// longjmp skips destructors, so nothing that has one is made in here.
inline bool decode_jpeg(std::FILE* file, Image& image, JpegError& error) {
    jpeg_decompress_struct info;
    info.err = jpeg_std_error(&error);
    error.error_exit = jpeg_failed;
    error.emit_message = jpeg_warned;
    if (setjmp(error.back)) {
        jpeg_destroy_decompress(&info);
        return false;
    }
    jpeg_create_decompress(&info);
    jpeg_stdio_src(&info, file);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    image.height = info.output_height;
    image.width = info.output_width;
    image.pixels.resize(image.height * image.width * 3);
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = image.pixels.data() + info.output_scanline * image.width * 3;
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    return true;
}

}  // namespace detail

inline Image decode_jpeg(const std::string& path) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
    if (!file) throw std::runtime_error(path + ": cannot be opened");
    Image image;
    detail::JpegError error;
    if (!detail::decode_jpeg(file.get(), image, error)) throw std::runtime_error(path + ": " + error.message);
    return image;
}
