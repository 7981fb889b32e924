"""What is known of each of ONNX's operators: THE table, and the rules that its rows are made of.

A row says what an operator computes, in float64, how the channels of its inputs run into those of its outputs, and
brings examples that one test checks both against. No pass names an operator whose channels it follows.
"""
