/* Gives each request's body back after as many milliseconds as it begins with,
   and records that it ran: a server of libfcgi, which does not multiplex. */
#include <fcgiapp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void) {
	FCGX_Request request;
	FCGX_Init();
	FCGX_InitRequest(&request, 0, 0);
	while (FCGX_Accept_r(&request) == 0) {
		static char body[1 << 20];
		/* To its very end: libfcgi looks at what follows only when it is read. */
		int n = FCGX_GetStr(body, sizeof body - 1, request.in);
		body[n] = 0;
		FILE *ids = fopen(FCGX_GetParam("IDS_FILE", request.envp), "a");
		if (ids) {
			fprintf(ids, "%.40s\n", body);
			fclose(ids);
		}
		usleep(1000 * atoi(body));
		FCGX_PutS("Content-Type: text/plain\r\n\r\n", request.out);
		FCGX_PutStr(body, n, request.out);
		FCGX_Finish_r(&request);
	}
	return 0;
}
