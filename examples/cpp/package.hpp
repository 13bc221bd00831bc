// What both programs share: arguments, a package's files, and answers as `python -m PACKAGE classify` prints them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "decode_jpeg.hpp"

struct Package {
    std::filesystem::path model;
    std::vector<std::string> labels;  // empty where there are none
};

// `folder` is what `zooc compile` wrote, or the import package in it.
inline Package open_package(const std::filesystem::path& folder) {
    namespace fs = std::filesystem;
    std::vector<fs::path> found;
    if (fs::exists(folder / "model.onnx")) {
        found.push_back(folder);
    } else if (fs::is_directory(folder)) {
        for (const auto& entry : fs::directory_iterator(folder))
            if (fs::exists(entry.path() / "model.onnx")) found.push_back(entry.path());
    }
    if (found.size() != 1)
        throw std::runtime_error(folder.string() +
                                 ": not a package of zooc; name the folder that holds model.onnx");
    Package package{found[0] / "model.onnx", {}};
    std::ifstream labels(found[0] / "labels.txt");
    for (std::string line; std::getline(labels, line);) package.labels.push_back(line);
    return package;
}

inline std::vector<double> softmax(std::vector<double> scores) {
    const double most = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (double& score : scores) sum += score = std::exp(score - most);
    for (double& score : scores) score /= sum;
    return scores;
}

// `output` is the name of the graph's output: "logits" in a package compiled without softmax.
inline void print(const Package& package, const std::string& file, const std::string& output,
                  std::vector<double> scores) {
    if (output == "logits") scores = softmax(std::move(scores));
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
    order.resize(std::min<std::size_t>(5, order.size()));
    std::printf("%s\n", file.c_str());
    for (const std::size_t index : order) {
        const bool named = index < package.labels.size();
        const std::string label = named ? package.labels[index] : std::to_string(index);
        std::printf("  %.6f  %s (%zu)\n", scores[index], label.c_str(), index);
    }
}

// Runs a program's work on its arguments; every error is one line, and exit code 1.
using Classify = std::function<void(const Package&, const std::vector<std::string>& files)>;

inline int run(int count, char** arguments, const Classify& classify) {
    if (count < 3) {
        std::fprintf(stderr, "usage: %s PACKAGE IMAGE.jpg...\n", arguments[0]);
        return 2;
    }
    try {
        classify(open_package(arguments[1]), {arguments + 2, arguments + count});
        return 0;
    } catch (const std::exception& error) {
        std::string message = error.what();
        std::replace(message.begin(), message.end(), '\n', ' ');  // OpenVINO's have several lines
        std::fprintf(stderr, "error: %s\n", message.c_str());
        return 1;
    }
}
