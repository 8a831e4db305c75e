/* The smallest module: one rule, always clear. It uses nothing but the ABI.
 *
 *   clang --target=wasm32-wasi --sysroot=/usr -O2 -s -o hello.wasm main.c
 */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  const char *verb = argc > 1 ? argv[1] : "";
  if (!strcmp(verb, "describe"))
    puts("{\"abi\":[1,1],\"name\":\"hello\",\"version\":\"1.0.0\",\"rules\":[{\"id\":\"hello/world\",\"severity\":\"info\",\"layer\":\"app\","
         "\"text\":{\"en\":{\"title\":\"Hello\",\"message\":\"Hello\"}}}]}");
  else if (!strcmp(verb, "analyze"))
    puts("{\"rule\":\"hello/world\",\"outcome\":\"clear\"}");
  else
    return 1;
  return 0;
}
