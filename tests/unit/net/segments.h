/* How many pieces the bytes of a TCP connection came in. In a file of its own, because the C
 * library's struct tcp_info is older and the kernel's does not go with it. */
#pragma once

/* Segments with data that have come; 0 when the kernel does not tell. */
unsigned segments_in(int fd);
