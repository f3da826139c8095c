/* What esl/headers.py does, in C: the same class, with the same methods and the same answers. That file says what they
 * are; tests compare the two. Nothing needs this one: without it, or a compiler, events are only read more slowly.
 *
 * Only the stable ABI of Python 3.11 is used, so that what is built for one Python serves the later ones.
 * Nothing here trusts what came over the network: each offset is checked against the end of its buffer.
 */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

typedef struct {
    PyObject_HEAD
    PyObject *data; /* bytes, from the line break ahead of the first header on; set once */
} Headers;

static const char LENGTH[] = "Content-Length: ";
static const char TYPE[] = "\nContent-Type: text/event-plain\n\n";
enum { LENGTH_SIZE = sizeof LENGTH - 1, TYPE_SIZE = sizeof TYPE - 1, MAX_DIGITS = 7 };

static int
hex_digit(unsigned char letter)
{
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    letter |= 0x20; /* to lower case */
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* The text of an encoded value: `%XX` decoded, any other `%` as it is, bad UTF-8 replaced. */
static PyObject *
decoded(const char *value, Py_ssize_t size)
{
    const char *percent = memchr(value, '%', size);
    if (percent == NULL)
        return PyUnicode_DecodeUTF8(value, size, "replace");
    char *plain = PyMem_Malloc(size); /* decoding never adds to it */
    if (plain == NULL)
        return PyErr_NoMemory();
    Py_ssize_t from = percent - value, to = from;
    memcpy(plain, value, from);
    while (from < size) {
        int high = -1, low = -1;
        if (value[from] == '%' && size - from > 2) {
            high = hex_digit(value[from + 1]);
            low = hex_digit(value[from + 2]);
        }
        if (high >= 0 && low >= 0) {
            plain[to++] = (char)(high << 4 | low);
            from += 3;
        } else
            plain[to++] = value[from++];
    }
    PyObject *text = PyUnicode_DecodeUTF8(plain, to, "replace");
    PyMem_Free(plain);
    return text;
}

/* Where the value of the first header of that name begins, ahead of the blank line, and its size; or NULL. */
static const char *
find(const char *data, Py_ssize_t data_size, const char *name, Py_ssize_t name_size, Py_ssize_t *value_size)
{
    const char *end = data + data_size;
    const char *line = memchr(data, '\n', data_size);
    while (line != NULL && ++line < end && *line != '\n') {
        const char *stop = memchr(line, '\n', end - line);
        Py_ssize_t size = (stop != NULL ? stop : end) - line;
        if (size - 2 >= name_size && line[name_size] == ':' && line[name_size + 1] == ' ' &&
            memcmp(line, name, name_size) == 0) {
            for (Py_ssize_t at = 0; at + 1 < name_size; at++)
                if (name[at] == ':' && name[at + 1] == ' ')
                    return NULL; /* no header can be called that */
            *value_size = size - name_size - 2;
            return line + name_size + 2;
        }
        line = stop;
    }
    return NULL;
}

static PyObject *
get(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (count < 1 || count > 2 || !PyUnicode_Check(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "get takes a name, which is a str, and a default or none");
        return NULL;
    }
    PyObject *data = ((Headers *)self)->data;
    PyObject *encoded = NULL; /* of a name that is not quite Unicode */
    Py_ssize_t name_size, value_size;
    const char *name = PyUnicode_AsUTF8AndSize(arguments[0], &name_size);
    if (name == NULL) {
        PyErr_Clear();
        encoded = PyUnicode_AsEncodedString(arguments[0], "utf-8", "surrogatepass");
        if (encoded == NULL)
            return NULL;
        name = PyBytes_AsString(encoded);
        name_size = PyBytes_Size(encoded);
    }
    const char *value = find(PyBytes_AsString(data), PyBytes_Size(data), name, name_size, &value_size);
    Py_XDECREF(encoded);
    if (value != NULL)
        return decoded(value, value_size);
    PyObject *otherwise = count == 2 ? arguments[1] : Py_None;
    Py_INCREF(otherwise);
    return otherwise;
}

/* The size of the whole frame of an event at `at`, and where in it the event begins; or 0. */
static Py_ssize_t
event_at(const char *at, Py_ssize_t size, Py_ssize_t *head_size)
{
    Py_ssize_t digits = 0, length = 0;
    if (size < LENGTH_SIZE + 1 + TYPE_SIZE || memcmp(at, LENGTH, LENGTH_SIZE) != 0)
        return 0;
    for (const char *digit = at + LENGTH_SIZE; digits <= MAX_DIGITS && *digit >= '0' && *digit <= '9'; digit++) {
        length = length * 10 + (*digit - '0'); /* ends in TYPE_SIZE bytes at the latest, which are there */
        digits++;
    }
    *head_size = LENGTH_SIZE + digits + TYPE_SIZE;
    if (digits < 1 || digits > MAX_DIGITS || size < *head_size || size - *head_size < length ||
        memcmp(at + LENGTH_SIZE + digits, TYPE, TYPE_SIZE) != 0)
        return 0;
    return *head_size + length;
}

/* A new object of `type` with a copy of `size` bytes and a line break ahead of them. */
static PyObject *
make(PyTypeObject *type, const char *bytes, Py_ssize_t size)
{
    PyObject *data = PyBytes_FromStringAndSize(NULL, size + 1);
    PyObject *self = data == NULL ? NULL : ((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL) {
        Py_XDECREF(data);
        return NULL;
    }
    char *copy = PyBytes_AsString(data);
    copy[0] = '\n';
    memcpy(copy + 1, bytes, size);
    ((Headers *)self)->data = data;
    return self;
}

static PyObject *
new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"data", NULL};
    Py_buffer buffer;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "y*", names, &buffer))
        return NULL;
    PyObject *self = make(type, buffer.buf, buffer.len);
    PyBuffer_Release(&buffer);
    return self;
}

static PyObject *
take(PyObject *type, PyObject *arguments)
{
    Py_buffer buffer;
    Py_ssize_t start, size, head_size;
    PyObject *found;
    if (!PyArg_ParseTuple(arguments, "y*nO!", &buffer, &start, &PyList_Type, &found))
        return NULL;
    int failed = 0;
    while (start < buffer.len && !failed) {
        Py_ssize_t at = start < 0 ? 0 : start; /* as Python's re has it */
        const char *frame = (const char *)buffer.buf + at;
        size = event_at(frame, buffer.len - at, &head_size);
        if (size == 0)
            break;
        PyObject *event = make((PyTypeObject *)type, frame + head_size, size - head_size);
        failed = event == NULL || PyList_Append(found, event) < 0;
        Py_XDECREF(event);
        start = at + size;
    }
    PyBuffer_Release(&buffer);
    return failed ? NULL : PyLong_FromSsize_t(start);
}

static PyObject *
get_data(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *data = ((Headers *)self)->data;
    Py_INCREF(data);
    return data;
}

static void
deallocate(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((Headers *)self)->data);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"get", (PyCFunction)(void (*)(void))get, METH_FASTCALL, NULL},
    {"take", take, METH_VARARGS | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"_data", get_data, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, new},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {Py_tp_dealloc, deallocate},
    {0, NULL},
};

static PyType_Spec headers = {
    .name = "esl._fast.Headers",
    .basicsize = sizeof(Headers),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};

static int
execute(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &headers, NULL);
    int failed = type == NULL || PyModule_AddObjectRef(module, "Headers", type) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot steps[] = {{Py_mod_exec, execute}, {0, NULL}};

static PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "esl._fast", .m_slots = steps};

PyMODINIT_FUNC
PyInit__fast(void)
{
    return PyModuleDef_Init(&module);
}
