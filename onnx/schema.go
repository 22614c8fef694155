package onnx

// Protobuf tags, field number << 3 | wire type, of the messages in onnx.proto3.
const (
	varint    = 0
	fixed64   = 1
	delimited = 2
	fixed32   = 5

	modelIRVersion       = 1<<3 | varint
	modelProducer        = 2<<3 | delimited
	modelProducerVersion = 3<<3 | delimited
	modelDomain          = 4<<3 | delimited
	modelVersion         = 5<<3 | varint
	modelDoc             = 6<<3 | delimited
	modelGraph           = 7<<3 | delimited
	modelOpset           = 8<<3 | delimited
	modelMetadata        = 14<<3 | delimited

	opsetDomain  = 1<<3 | delimited
	opsetVersion = 2<<3 | varint

	propertyKey   = 1<<3 | delimited
	propertyValue = 2<<3 | delimited

	graphNode        = 1<<3 | delimited
	graphName        = 2<<3 | delimited
	graphInitializer = 5<<3 | delimited
	graphDoc         = 10<<3 | delimited
	graphInput       = 11<<3 | delimited
	graphOutput      = 12<<3 | delimited
	graphValue       = 13<<3 | delimited

	nodeInput     = 1<<3 | delimited
	nodeOutput    = 2<<3 | delimited
	nodeName      = 3<<3 | delimited
	nodeOpType    = 4<<3 | delimited
	nodeAttribute = 5<<3 | delimited
	nodeDomain    = 7<<3 | delimited

	attrName         = 1<<3 | delimited
	attrFloat        = 2<<3 | fixed32
	attrInt          = 3<<3 | varint
	attrString       = 4<<3 | delimited
	attrTensor       = 5<<3 | delimited
	attrGraph        = 6<<3 | delimited
	attrFloat1       = 7<<3 | fixed32
	attrFloatsPacked = 7<<3 | delimited
	attrInt1         = 8<<3 | varint
	attrIntsPacked   = 8<<3 | delimited
	attrStrings      = 9<<3 | delimited
	attrType         = 20<<3 | varint

	tensorDim          = 1<<3 | varint
	tensorDimsPacked   = 1<<3 | delimited
	tensorType         = 2<<3 | varint
	tensorFloat        = 4<<3 | fixed32
	tensorFloatsPacked = 4<<3 | delimited
	tensorInt32        = 5<<3 | varint
	tensorInt32Packed  = 5<<3 | delimited
	tensorInt64        = 7<<3 | varint
	tensorInt64Packed  = 7<<3 | delimited
	tensorName         = 8<<3 | delimited
	tensorRaw          = 9<<3 | delimited
	tensorDouble       = 10<<3 | fixed64
	tensorDoublePacked = 10<<3 | delimited
	tensorUint64       = 11<<3 | varint
	tensorUint64Packed = 11<<3 | delimited
	tensorExternal     = 13<<3 | delimited
	tensorLocation     = 14<<3 | varint

	valueName   = 1<<3 | delimited
	valueType   = 2<<3 | delimited
	typeTensor  = 1<<3 | delimited
	tensorElem  = 1<<3 | varint
	tensorShape = 2<<3 | delimited
	shapeDim    = 1<<3 | delimited
	dimSize     = 1<<3 | varint
	dimName     = 2<<3 | delimited
)
