// Classifies JPEG files with a package's model.onnx in ONNX Runtime.
#include <array>

#include <onnxruntime_cxx_api.h>

#include "package.hpp"

int main(int count, char** arguments) {
    return run(count, arguments, [](const Package& package, const std::vector<std::string>& files) {
        Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "classify");
        Ort::Session session(environment, package.model.c_str(), Ort::SessionOptions{});
        Ort::AllocatorWithDefaultOptions allocator;
        const auto input = session.GetInputNameAllocated(0, allocator);
        const auto output = session.GetOutputNameAllocated(0, allocator);
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        for (const std::string& file : files) {
            Image image = decode_jpeg(file);
            const std::array<int64_t, 3> shape{static_cast<int64_t>(image.height), static_cast<int64_t>(image.width), 3};
            Ort::Value pixels = Ort::Value::CreateTensor<uint8_t>(memory, image.pixels.data(), image.pixels.size(),
                                                                  shape.data(), shape.size());
            const char* inputs[] = {input.get()};
            const char* outputs[] = {output.get()};
            auto results = session.Run(Ort::RunOptions{nullptr}, inputs, &pixels, 1, outputs, 1);
            const float* first = results[0].GetTensorData<float>();
            const int64_t classes = results[0].GetTensorTypeAndShapeInfo().GetShape().back();
            print(file, {first, first + classes}, output.get(), package);
        }
    });
}
