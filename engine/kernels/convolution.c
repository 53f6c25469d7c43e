/* convolution.c - see convolution.h. Tasks are blocks of positions (y), of rows of x (d_x: windows that reach into the
 * block are multiplied again, so that each number has one writer) and of columns of weight (d_weight: all positions, in
 * order). Position t counts through the batch; a window's numbers lie as those of a row of weight. */
#include "engine/kernels/convolution.h"

#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"
#include "engine/kernels/gemm.h"

enum {
    ROOM = 1 << 18,  /* numbers of gathered windows at a time, if ROWS_LEAST fit */
    ROWS_LEAST = 64, /* positions: fewer would not pay for reading the weight */
    ROWS_MOST = 256,
    BLOCKS_WANTED = 8, /* of positions, where there are few */
    OUTS_NARROW = 64,  /* rows of weight that are widened at a time */
    OUTS = 256,        /* rows of d_weight a task */
    COLUMNS = 128,     /* columns of d_weight a task */
    SUMS = 1 << 17,    /* numbers of d_x a task, but at least a row and at most */
    SUM_ROWS = 128,    /* rows */
};

static uint64_t window_numbers(const struct convolution *c) {
    return c->window[0] * c->window[1] * c->channels;
}

static uint64_t row_numbers(const struct convolution *c) {
    return c->size[1] * c->channels;
}

static uint64_t image_positions(const struct convolution *c) {
    return c->made[0] * c->made[1];
}

static uint64_t positions(const struct convolution *c) {
    return c->batch * image_positions(c);
}

/* Positions at a time. */
static uint64_t rows_of(const struct convolution *c) {
    const uint64_t room = units_min(ROWS_MOST, units_max(ROWS_LEAST, ROOM / window_numbers(c)));
    return units_min(room, units_ceil_div(units_ceil_div(positions(c), BLOCKS_WANTED), 16) * 16);
}

/* Channels of the result at a time. */
static uint64_t outs_of(const struct convolution *c) {
    return c->narrow ? units_min(OUTS_NARROW, c->out) : c->out;
}

static uint64_t weight_outs_of(const struct convolution *c) {
    return units_min(c->narrow ? OUTS_NARROW : OUTS, c->out);
}

/* Rows of x a task of d_x. */
static uint64_t sum_rows_of(const struct convolution *c) {
    return units_min(units_min(SUM_ROWS, c->size[0]), units_max(1, SUMS / row_numbers(c)));
}

/* Workspace: a slot's floats, and how many tasks want one. Gathered windows come first in all. */
struct room {
    uint64_t floats, tasks;
};

static struct room forward_room(const struct convolution *c) {
    const uint64_t rows = rows_of(c), outs = outs_of(c), k = window_numbers(c);
    return (struct room){rows * k + (c->narrow ? outs * k + rows * outs : 0), units_ceil_div(positions(c), rows)};
}

static struct room d_x_room(const struct convolution *c) {
    const uint64_t rows = rows_of(c), outs = outs_of(c), k = window_numbers(c), block = sum_rows_of(c);
    return (struct room){rows * k + (c->narrow ? outs * k + rows * outs + block * row_numbers(c) : 0),
                         c->batch * units_ceil_div(c->size[0], block)};
}

static struct room d_weight_room(const struct convolution *c) {
    const uint64_t rows = rows_of(c), outs = weight_outs_of(c), columns = units_min(COLUMNS, window_numbers(c));
    return (struct room){rows * columns + (c->narrow ? rows * outs + outs * columns : 0),
                         units_ceil_div(c->out, outs) * units_ceil_div(window_numbers(c), columns)};
}

static uint64_t slot_bytes(struct room r) {
    return units_extent(r.floats * sizeof(float));
}

static uint64_t room_bytes(struct room r, unsigned threads) {
    return slot_bytes(r) * units_min(threads, r.tasks);
}

uint64_t convolution_forward_bytes(const struct convolution *c, unsigned threads) {
    return room_bytes(forward_room(c), threads);
}

uint64_t convolution_backward_bytes(const struct convolution *c, bool d_x, bool d_weight, unsigned threads) {
    return units_max(d_x ? room_bytes(d_x_room(c), threads) : 0, d_weight ? room_bytes(d_weight_room(c), threads) : 0);
}

static float *slot_work(const struct convolution *c, struct room r, unsigned slot) {
    return c->work + slot * (slot_bytes(r) / sizeof(float));
}

/* What one row of a window has within x: n numbers from x's row, at, which are the window row's from `skip` on. */
struct piece {
    uint64_t row, at, n, skip; /* row: size[0] or more is outside */
};

/* Numbers [from, end) of row u of position t's window. */
static struct piece piece_of(const struct convolution *c, uint64_t t, uint64_t u, uint64_t from, uint64_t end) {
    const uint64_t i = t % image_positions(c) / c->made[1], j = t % c->made[1];
    const uint64_t before = c->padding[1] * c->channels, begin = j * c->stride[1] * c->channels; /* less `before` */
    const uint64_t first = units_max(begin + from, before);
    const uint64_t last = units_min(begin + end, before + row_numbers(c));
    const uint64_t n = first < last ? last - first : 0;
    return (struct piece){i * c->stride[0] + u - c->padding[0], n ? first - before : 0, n,
                          n ? first - begin - from : 0};
}

/* Columns [from, end) of position t's row; 0 outside x. */
static void gather(const struct convolution *c, uint64_t t, uint64_t from, uint64_t end, float *to) {
    const uint64_t width = c->window[1] * c->channels, image = t / image_positions(c) * c->size[0];
    for (uint64_t next; from < end; from = next) {
        const uint64_t u = from / width, n = units_min(end, (u + 1) * width) - from;
        const struct piece p = piece_of(c, t, u, from - u * width, from - u * width + n);
        next = from + n;
        const bool outside = p.row >= c->size[0];
        const uint64_t skip = outside ? n : p.skip, inside = outside ? 0 : p.n;
        memset(to, 0, skip * sizeof *to);
        if (inside) {
            const float *x = numbers_read(c->x, (image + p.row) * row_numbers(c) + p.at, inside, to + skip);
            if (x != to + skip)
                memcpy(to + skip, x, inside * sizeof *to);
        }
        memset(to + skip + inside, 0, (n - skip - inside) * sizeof *to);
        to += n;
    }
}

/* The reverse, added: rows [first, first + rows) of x's image alone. */
static void scatter(const struct convolution *c, uint64_t t, const float *window, uint64_t first, uint64_t rows,
                    float *sum) {
    const uint64_t width = c->window[1] * c->channels;
    for (uint64_t u = 0; u < c->window[0]; u++) {
        const struct piece p = piece_of(c, t, u, 0, width);
        const float *from = window + u * width + p.skip;
        if (p.row >= c->size[0] || p.row < first || p.row >= first + rows)
            continue;
        float *to = sum + (p.row - first) * row_numbers(c) + p.at;
        for (uint64_t i = 0; i < p.n; i++)
            to[i] += from[i];
    }
}

/* Columns [o, o + n) of rows from t on of a matrix [positions][out]: where it is, or in buffer. */
static struct gemm_matrix columns_read(const struct convolution *c, struct numbers x, uint64_t t, uint64_t rows,
                                       uint64_t o, uint64_t n, float *buffer) {
    if (!x.narrow)
        return (struct gemm_matrix){(const float *)x.at + t * c->out + o, c->out, false};
    for (uint64_t r = 0; r < rows; r++)
        (void)numbers_read(x, (t + r) * c->out + o, n, buffer + r * n);
    return (struct gemm_matrix){buffer, n, false};
}

/* y's columns [o, o + n) at positions from t on. */
static void product(const struct convolution *c, uint64_t t, uint64_t rows, const float *windows, uint64_t o,
                    uint64_t n, float *work) {
    const uint64_t k = window_numbers(c), y_row = c->y.narrow ? n : c->out;
    float bias_buffer[OUTS_NARROW], *result = work + (c->narrow ? outs_of(c) * k : 0);
    const float *weight = numbers_read(c->weight, o * k, n * k, work);
    const float *bias = c->bias.at ? numbers_read(c->bias, o, n, bias_buffer) : NULL;
    float *y = numbers_open(c->y, t * c->out + o, result);
    for (uint64_t r = 0; bias && r < rows; r++)
        memcpy(y + r * y_row, bias, n * sizeof *y);
    gemm(rows, n, k, 1, (struct gemm_matrix){windows, k, false}, (struct gemm_matrix){weight, k, true}, bias ? 1 : 0, y,
         y_row);
    for (uint64_t r = 0; c->y.narrow && r < rows; r++)
        numbers_close(c->y, (t + r) * c->out + o, n, y + r * y_row);
}

static void forward_task(void *arg, uint64_t index, unsigned slot) {
    const struct convolution *c = arg;
    const uint64_t k = window_numbers(c), rows = rows_of(c), outs = outs_of(c), t = index * rows;
    const uint64_t n = units_min(rows, positions(c) - t);
    float *windows = slot_work(c, forward_room(c), slot);
    for (uint64_t r = 0; r < n; r++)
        gather(c, t + r, 0, k, windows + r * k);
    for (uint64_t o = 0; o < c->out; o += outs)
        product(c, t, n, windows, o, units_min(outs, c->out - o), windows + rows * k);
}

void convolution_forward(const struct convolution *c) {
    pool_run(c->pool, forward_room(c).tasks, forward_task, (void *)c);
}

/* The gradients of n windows from position t on. */
static void d_windows(const struct convolution *c, uint64_t t, uint64_t n, float *windows) {
    const uint64_t k = window_numbers(c), outs = outs_of(c);
    float *weights = windows + rows_of(c) * k, *buffer = weights + (c->narrow ? outs * k : 0);
    for (uint64_t o = 0; o < c->out; o += outs) {
        const uint64_t m = units_min(outs, c->out - o);
        const struct gemm_matrix d_y = columns_read(c, c->d_y, t, n, o, m, buffer);
        const struct gemm_matrix weight = {numbers_read(c->weight, o * k, m * k, weights), k, false};
        gemm(n, k, m, 1, d_y, weight, o ? 1 : 0, windows, k);
    }
}

/* One block of rows of an image of d_x: all positions whose windows reach into it, in order. */
static void d_x_task(void *arg, uint64_t index, unsigned slot) {
    const struct convolution *c = arg;
    const uint64_t k = window_numbers(c), rows = rows_of(c), block = sum_rows_of(c), images = image_positions(c);
    const uint64_t blocks = units_ceil_div(c->size[0], block), image = index / blocks, first = index % blocks * block;
    const uint64_t n = units_min(block, c->size[0] - first), at = (image * c->size[0] + first) * row_numbers(c);
    const uint64_t begin = first + c->padding[0], window = c->window[0], stride = c->stride[0];
    const uint64_t low = begin < window ? 0 : units_ceil_div(begin - window + 1, stride);
    const uint64_t high = units_min(c->made[0], (begin + n - 1) / stride + 1);
    float *windows = slot_work(c, d_x_room(c), slot);
    float *sums = windows + rows * k + (c->narrow ? outs_of(c) * (k + rows) : 0);
    sums = numbers_open_sum(c->d_x, at, n * row_numbers(c), sums);
    for (uint64_t t = low * c->made[1]; t < high * c->made[1]; t += rows) {
        const uint64_t m = units_min(rows, high * c->made[1] - t);
        d_windows(c, image * images + t, m, windows);
        for (uint64_t r = 0; r < m; r++)
            scatter(c, t + r, windows + r * k, first, n, sums);
    }
    numbers_close(c->d_x, at, n * row_numbers(c), sums);
}

/* A block of d_weight over all positions. */
static void d_weight_task(void *arg, uint64_t index, unsigned slot) {
    const struct convolution *c = arg;
    const uint64_t k = window_numbers(c), rows = rows_of(c), outs = weight_outs_of(c), columns = units_min(COLUMNS, k);
    const uint64_t across = units_ceil_div(k, columns), from = index % across * columns, o = index / across * outs;
    const uint64_t n = units_min(columns, k - from), m = units_min(outs, c->out - o);
    const uint64_t sum_row = c->d_weight.narrow ? n : k;
    float *windows = slot_work(c, d_weight_room(c), slot);
    float *buffer = windows + rows * columns, *sums = buffer + (c->narrow ? rows * outs : 0);
    for (uint64_t r = 0; c->d_weight.narrow && r < m; r++)
        (void)numbers_read(c->d_weight, (o + r) * k + from, n, sums + r * n);
    sums = numbers_open(c->d_weight, o * k + from, sums);
    for (uint64_t t = 0; t < positions(c); t += rows) {
        const uint64_t here = units_min(rows, positions(c) - t);
        for (uint64_t r = 0; r < here; r++)
            gather(c, t + r, from, from + n, windows + r * n);
        struct gemm_matrix d_y = columns_read(c, c->d_y, t, here, o, m, buffer);
        d_y.turned = 1;
        gemm(m, n, here, 1, d_y, (struct gemm_matrix){windows, n, false}, 1, sums, sum_row);
    }
    for (uint64_t r = 0; c->d_weight.narrow && r < m; r++)
        numbers_close(c->d_weight, (o + r) * k + from, n, sums + r * n);
}

void convolution_backward(const struct convolution *c) {
    if (c->d_x.at)
        pool_run(c->pool, d_x_room(c).tasks, d_x_task, (void *)c);
    if (c->d_weight.at)
        pool_run(c->pool, d_weight_room(c).tasks, d_weight_task, (void *)c);
    if (c->d_bias.at)
        eltwise_rows_accumulate(c->pool, positions(c), c->out, c->d_y, c->d_bias);
}
