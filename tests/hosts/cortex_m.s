@ What runs before newlib's _start on a Cortex-M: the vector table, and the FPU switched on.
    .syntax unified
    .thumb
    .section .vectors, "a"
    .word stack_top
    .word reset
    .rept 14                    @ NMI, faults, ...
    .word fault
    .endr

    .text
    .thumb_func
    .global reset
reset:
    ldr r0, =0xE000ED88         @ CPACR: access to the coprocessors 10 and 11
    ldr r1, [r0]
    orr r1, r1, #0xF00000
    str r1, [r0]
    dsb
    isb
    b _start
    .thumb_func
fault:
    b fault
