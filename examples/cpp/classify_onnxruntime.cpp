// Classifies JPEG files with a package's model.onnx in ONNX Runtime.
#include <array>

#include <onnxruntime_cxx_api.h>

#include "package.hpp"

int main(int count, char** arguments) {
    return run(count, arguments, [](const Package& package, const std::vector<std::string>& files) {
        Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "classify");
        Ort::Session session(environment, package.model.c_str(), Ort::SessionOptions{});
        Ort::AllocatorWithDefaultOptions allocator;
        const auto input = session.GetInputNameAllocated(0, allocator);
        const auto output = session.GetOutputNameAllocated(0, allocator);
        const char* const inputs[] = {input.get()};
        const char* const outputs[] = {output.get()};
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        for (const std::string& file : files) {
            Image image = decode_jpeg(file);
            const std::array<std::int64_t, 3> shape{static_cast<std::int64_t>(image.height),
                                                    static_cast<std::int64_t>(image.width), 3};
            const Ort::Value pixels = Ort::Value::CreateTensor<std::uint8_t>(
                memory, image.pixels.data(), image.pixels.size(), shape.data(), shape.size());
            const auto results = session.Run(Ort::RunOptions{}, inputs, &pixels, 1, outputs, 1);
            // A network of a fixed batch answers once for each of its rows, which are all this image.
            const float* row = results[0].GetTensorData<float>();
            const auto classes = results[0].GetTensorTypeAndShapeInfo().GetShape().back();
            print(package, file, output.get(), {row, row + classes});
        }
    });
}
