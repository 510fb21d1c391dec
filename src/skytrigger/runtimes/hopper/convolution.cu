// 3x3 'same' convolution + bias + ReLU (+ 2x2 max pooling) as an implicit matrix product on Hopper's warpgroup
// matrix instructions (wgmma: both operands from shared memory, float32 sums).
//
// Images lie as [image][channel / 8][row][column][8] float16. In shared memory eight channels of a pixel are 16 bytes,
// and eight pixels of a row are one of wgmma's 8 x 16-byte core matrices wherever they begin: shifting the window by a
// tap is an addition to the descriptor's address, so a pixel is loaded once for all nine taps.
//
// A block keeps the weights of N output channels and walks over tiles of 256 pixels (four 8 x 8 squares, two for each
// warpgroup); 16 input channels at a time arrive through a ring of STAGES buffers.
//
// Set when compiled: CIN (multiple of 16), COUT, N, HEIGHT, WIDTH, TILE_H, TILE_W, IMAGES (a tile), STAGES, BLOCKS,
// POOL (0: none; 1: rows and columns; 2: channels and rows, the origin's first pooling of doublets), KIND (of input).

#ifndef EMULATED
#define DEVICE __device__ __forceinline__

DEVICE unsigned shared_address(const void* pointer) { return (unsigned)__cvta_generic_to_shared(pointer); }

DEVICE void copy16(unsigned to, const void* from, bool inside) {  // zeros where not inside
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(inside ? 16 : 0) : "memory");
}
DEVICE void put16(unsigned to, const unsigned (&value)[4]) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(value[0]), "r"(value[1]), "r"(value[2]), "r"(value[3]) : "memory");
}
DEVICE void put4(unsigned to, unsigned value) { asm volatile("st.shared.b32 [%0], %1;" ::"r"(to), "r"(value) : "memory"); }
DEVICE void puts_seen() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }  // by wgmma, after a barrier
DEVICE void warp_together() { __syncwarp(); }  // matrix instructions want their threads side by side
// Worked out anew where it stands, not kept in registers across a loop.
DEVICE int anew(int value) {
    asm volatile("" : "+r"(value));
    return value;
}
DEVICE void copies_committed() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LEFT> DEVICE void copies_done() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // wgmma reads through another proxy
}
// The sums are registers that wgmma writes later than the compiler sees: nothing may be moved across this.
template <int COUNT> DEVICE void settled(float (&sums)[COUNT]) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) asm volatile("" : "+f"(sums[i])::"memory");
}
DEVICE void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void products_committed() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int LEFT> DEVICE void products_done() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
}

#define TAIL "p, 1, 1, 0, 0;}"
#define HEAD(more) "{.reg .pred p; setp.ne.b32 p, %" more ", 0; wgmma.mma_async.sync.aligned."
#define R(i) "+f"(d[i])
#define R8(i) R(i), R(i + 1), R(i + 2), R(i + 3), R(i + 4), R(i + 5), R(i + 6), R(i + 7)

DEVICE void product(float (&d)[8], unsigned long long a, unsigned long long b, int add) {
    asm volatile(HEAD("10") "m64n16k16.f32.f16.f16 {%0,%1,%2,%3,%4,%5,%6,%7}, %8, %9, " TAIL
                 : R8(0) : "l"(a), "l"(b), "r"(add));
}
DEVICE void product(float (&d)[16], unsigned long long a, unsigned long long b, int add) {
    asm volatile(HEAD("18") "m64n32k16.f32.f16.f16 "
                 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15}, %16, %17, " TAIL
                 : R8(0), R8(8) : "l"(a), "l"(b), "r"(add));
}
DEVICE void product(float (&d)[32], unsigned long long a, unsigned long long b, int add) {
    asm volatile(HEAD("34") "m64n64k16.f32.f16.f16 "
                 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
                 "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, %32, %33, " TAIL
                 : R8(0), R8(8), R8(16), R8(24) : "l"(a), "l"(b), "r"(add));
}

DEVICE unsigned two_halves(float low, float high) {
    unsigned both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}
DEVICE float half_to_float(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}
DEVICE unsigned larger_halves(unsigned a, unsigned b) {  // NaN stays NaN, as in PyTorch
    unsigned both;
    asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(both) : "r"(a), "r"(b));
    return both;
}
DEVICE float larger(float a, float b) {
    float value;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(value) : "f"(a), "f"(b));
    return value;
}
DEVICE unsigned from_other_column(unsigned value) { return __shfl_xor_sync(0xffffffffu, value, 4); }
extern __shared__ __align__(128) char shared[];
#endif

constexpr int THREADS = 256, CHUNK = 16, CHUNKS = CIN / CHUNK;
constexpr int ROW = TILE_W + 2, AREA = (TILE_H + 2) * ROW, PIXELS = IMAGES * AREA;  // of a tile, with its border
constexpr int PLANE = PIXELS * 16, STAGE = PLANE * (CHUNK / 8), WEIGHTS = 9 * CIN * N * 2;  // bytes
constexpr int AHEAD = STAGES - 2;  // one buffer is read, one may still be
constexpr int SQUARES = 2;  // of 8 x 8 pixels, each warpgroup
constexpr int PIECES = (PIXELS * (CHUNK / 8) + THREADS - 1) / THREADS;  // of 16 bytes, each thread
constexpr int ACROSS = WIDTH / TILE_W, DOWN = HEIGHT / TILE_H;
static_assert(IMAGES * TILE_H * TILE_W == 64 * 2 * SQUARES, "a tile has four squares");
static_assert(CIN % CHUNK == 0 && COUT % N == 0 && HEIGHT % TILE_H == 0 && WIDTH % TILE_W == 0, "shapes divide");

struct Tile {
    int image, row, column;  // of its first pixel
    DEVICE Tile(int number)
        : image(number / (ACROSS * DOWN) * IMAGES), row(number / ACROSS % DOWN * TILE_H), column(number % ACROSS * TILE_W) {}
};

// The 16-byte pieces of a tile that this thread copies; what does not depend on the tile is worked out once.
struct Pieces {
    int to[PIECES], from[PIECES], image[PIECES], row[PIECES], column[PIECES];
    DEVICE Pieces() {
#pragma unroll
        for (int p = 0; p < PIECES; p++) {
            const int i = threadIdx.x + p * THREADS, group = i / PIXELS, pixel = i % PIXELS;
            image[p] = pixel / AREA, row[p] = pixel % AREA / ROW - 1, column[p] = pixel % AREA % ROW - 1;
            from[p] = ((image[p] * (CIN / 8) + group) * HEIGHT + row[p]) * WIDTH + column[p];
            to[p] = i < PIXELS * (CHUNK / 8) ? group * PLANE + pixel * 16 : -1;
        }
    }
    DEVICE void load(unsigned stage, const unsigned short* images, int count, Tile tile, int chunk) const {
        const long long plane = (long long)tile.image * (CIN / 8) + chunk * (CHUNK / 8);
        const unsigned short* first = images + ((plane * HEIGHT + tile.row) * WIDTH + tile.column) * 8;
#pragma unroll
        for (int p = 0; p < PIECES; p++) {
            const bool inside = (IMAGES == 1 || tile.image + image[p] < count) & ((unsigned)(tile.row + row[p]) < HEIGHT) &
                                ((unsigned)(tile.column + column[p]) < WIDTH);
            if (p < PIECES - 1 || to[p] >= 0) copy16(stage + to[p], inside ? first + from[p] * 8 : images, inside);
        }
    }
};

DEVICE unsigned long long descriptor(unsigned address, int across_k, int across_rows) {
    return (unsigned long long)((address & 0x3ffff) >> 4) | (unsigned long long)(across_k >> 4) << 16 |
           (unsigned long long)(across_rows >> 4) << 32;
}

// Thread of a warpgroup's square: column (lane / 4) of rows 2 * warp and 2 * warp + 1, channels 8 j + 2 (lane % 4) + 0, 1.
DEVICE void store(unsigned short* out, const float* bias, const float (&sums)[N / 2], int image, int row, int column) {
    const int pair = threadIdx.x % 4, first = blockIdx.y * N;
    unsigned upper[N / 8], lower[N / 8];  // two channels each; after pooling of rows `upper` alone
#pragma unroll
    for (int j = 0; j < N / 8; j++) {
        const float b0 = bias[8 * j + 2 * pair], b1 = bias[8 * j + 2 * pair + 1];
        const float* s = sums + 4 * j;
#if POOL == 0
        upper[j] = two_halves(larger(s[0] + b0, 0.0f), larger(s[1] + b1, 0.0f));
        lower[j] = two_halves(larger(s[2] + b0, 0.0f), larger(s[3] + b1, 0.0f));
#else
        upper[j] = two_halves(larger(larger(s[0], s[2]) + b0, 0.0f), larger(larger(s[1], s[3]) + b1, 0.0f));
#endif
    }
#if POOL == 0
    const long long at = (((long long)image * (COUT / 8) + first / 8) * HEIGHT + row) * WIDTH + column;
    unsigned* to = (unsigned*)out + at * 4 + pair;
#pragma unroll
    for (int j = 0; j < N / 8; j++) {
        to[j * HEIGHT * WIDTH * 4] = upper[j];
        to[j * HEIGHT * WIDTH * 4 + WIDTH * 4] = lower[j];
    }
#elif POOL == 1
    // neighbours in a row swap: the even column ends up with channels of j, the odd one with those of j + 1
    constexpr int AREA_OUT = (HEIGHT / 2) * (WIDTH / 2);
    const int odd = column % 2;
    const long long at = (((long long)image * (COUT / 8) + first / 8 + odd) * (HEIGHT / 2) + row / 2) * (WIDTH / 2) + column / 2;
    unsigned* to = (unsigned*)out + at * 4 + pair;
#pragma unroll
    for (int j = 0; j < N / 8; j += 2) {
        const unsigned got = from_other_column(odd ? upper[j] : upper[j + 1]);
        to[j * AREA_OUT * 4] = larger_halves(odd ? upper[j + 1] : upper[j], got);
    }
#else
    const long long at = (((long long)image * (COUT / 16) + first / 16) * (HEIGHT / 2) + row / 2) * WIDTH + column;
#pragma unroll
    for (int j = 0; j < N / 8; j++) {  // of the two channels the larger one
        const unsigned turned = upper[j] << 16 | upper[j] >> 16;
        const long long group = j / 2 * (HEIGHT / 2) * WIDTH;
        out[(at + group) * 8 + j % 2 * 4 + pair] = (unsigned short)larger_halves(upper[j], turned);
    }
#endif
}

// weights: [COUT / N][tap][CIN / 8][N][8] float16; grid: (blocks that share the tiles, COUT / N)
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
convolution(const unsigned short* images, const unsigned short* weights, const float* bias, unsigned short* out, int count) {
    const unsigned held = shared_address(shared), ring = held + WEIGHTS;
    __shared__ float own_bias[N];
    if (threadIdx.x < N) own_bias[threadIdx.x] = bias[blockIdx.y * N + threadIdx.x];
    const int group = threadIdx.x / 128;  // warpgroup
    const int tiles = (count + IMAGES - 1) / IMAGES * (ACROSS * DOWN);
    const int own = ((int)blockIdx.x < tiles) ? (tiles - blockIdx.x + gridDim.x - 1) / gridDim.x : 0;
    const int steps = own * CHUNKS;
    for (int i = threadIdx.x; i < WEIGHTS / 16; i += THREADS)
        copy16(held + i * 16, weights + (long long)blockIdx.y * (WEIGHTS / 2) + i * 8, true);

    const Pieces pieces;
    int ahead_tile = blockIdx.x, ahead_chunk = 0, ahead = 0, ahead_stage = 0;
    auto load_next = [&]() {
        if (ahead < steps) pieces.load(ring + ahead_stage * STAGE, images, count, Tile(ahead_tile), ahead_chunk);
        copies_committed();
        ahead++;
        if (++ahead_stage == STAGES) ahead_stage = 0;
        if (++ahead_chunk == CHUNKS) ahead_chunk = 0, ahead_tile += gridDim.x;
    };
    for (int stage = 0; stage < AHEAD; stage++) load_next();

    unsigned corner[SQUARES];  // bytes from the ring buffer's start to the square's first window
    int image_of[SQUARES], row_of[SQUARES], column_of[SQUARES];
#pragma unroll
    for (int s = 0; s < SQUARES; s++) {
        constexpr int ALONG = TILE_W / 8, EACH = ALONG * (TILE_H / 8);
        const int square = group * SQUARES + s;
        image_of[s] = square / EACH, row_of[s] = square % EACH / ALONG * 8, column_of[s] = square % ALONG * 8;
        corner[s] = (image_of[s] * AREA + row_of[s] * ROW + column_of[s]) * 16;
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
        row_of[s] += 2 * warp, column_of[s] += lane / 4;
    }

    float sums[SQUARES][N / 2];
    int stage = 0;
    for (int number = blockIdx.x; number < tiles; number += gridDim.x) {
#pragma unroll(CHUNKS <= 8 ? CHUNKS : 1)
        for (int chunk = 0; chunk < CHUNKS; chunk++) {
            copies_done<AHEAD - 1>();
            __syncthreads();  // all copies of this step are seen, and nobody reads the buffer that is filled next
            const unsigned pixels = ring + stage * STAGE;
            products_begin();
#pragma unroll
            for (int tap = 0; tap < 9; tap++) {
                const unsigned columns = held + (tap * (CIN / 8) + chunk * (CHUNK / 8)) * N * 16;
#pragma unroll
                for (int s = 0; s < SQUARES; s++) {
                    const unsigned rows = pixels + corner[s] + (tap / 3 * ROW + tap % 3) * 16;
                    product(sums[s], descriptor(rows, PLANE, ROW * 16), descriptor(columns, N * 16, 128), chunk + tap > 0);
                }
            }
            products_committed();
            load_next();  // beside the products
            products_done<1>();
            if (++stage == STAGES) stage = 0;
        }
        products_done<0>();
        const Tile tile(number);
#pragma unroll
        for (int s = 0; s < SQUARES; s++) {
            settled(sums[s]);
            if (tile.image + image_of[s] < count)  // the same for a whole warpgroup
                store(out, own_bias, sums[s], tile.image + image_of[s], tile.row + row_of[s], tile.column + column_of[s]);
        }
    }
}

#if KIND == 0
typedef float Stored;
#elif KIND == 1 || KIND == 2
typedef unsigned short Stored;  // float16, uint16
#else
typedef unsigned char Stored;
#endif

// (image, channel, row, column) in the data's units -> standardised float16 in the layout above; missing channels are 0
struct alignas(16) Eight {
    unsigned pairs[4];
};
extern "C" __global__ void pack(const Stored* tiles, const float* mean, const float* scale, Eight* out, int channels,
                                int count) {
    constexpr int AREA_ALL = HEIGHT * WIDTH;
    const long long all = (long long)count * (CIN / 8) * AREA_ALL, stride = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += stride) {
        const int pixel = i % AREA_ALL, group = i / AREA_ALL % (CIN / 8);
        const Stored* from = tiles + (i / AREA_ALL / (CIN / 8) * channels + group * 8) * AREA_ALL + pixel;
        float value[8];
#pragma unroll
        for (int c = 0; c < 8; c++) {
            value[c] = 0.0f;
            if (group * 8 + c < channels) {
#if KIND == 1
                const float stored = half_to_float(from[(long long)c * AREA_ALL]);
#else
                const float stored = (float)from[(long long)c * AREA_ALL];
#endif
                value[c] = (stored - mean[group * 8 + c]) * scale[group * 8 + c];
            }
        }
        Eight eight;
#pragma unroll
        for (int c = 0; c < 4; c++) eight.pairs[c] = two_halves(value[2 * c], value[2 * c + 1]);
        out[i] = eight;
    }
}
